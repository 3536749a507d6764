"""The service and the stand-in upstream on real sockets, in the test's own loop."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette

from app.api.service import Service
from app.main import create_app
from app.server import listen as listen_with_options
from app.server import server_config
from app.settings import Settings, load
from simulator import Knobs
from simulator import create_app as create_simulator
from simulator.record import Record
from simulator.serving import LoopServer, listen, serving
from tests.contract import contract_of

KEY = "sk-the-servers-own-key-5f1c"
FAST = Knobs(key=KEY, pace_s=0, silence_s=0)
GALLERY_URL = "https://gallery.example/"


class ServerSentEvent(NamedTuple):
    """One event as a client reads it."""

    id: str
    event: str
    data: str

    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Running:
    """A service that answers, and the stand-in behind it."""

    url: str
    app: FastAPI
    http: httpx.AsyncClient
    simulator: Starlette | None

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    @property
    def record(self) -> Record:
        assert self.simulator is not None
        record: Record = self.simulator.state.record
        return record

    async def stream(
        self, method: str = "POST", path: str = "/search/stream", **request: Any
    ) -> tuple[httpx.Response, list[ServerSentEvent]]:
        """Read a whole stream; a response that is none comes back read, without events."""
        headers = {"Accept": "text/event-stream"} | request.pop("headers", {})
        async with self.http.stream(method, path, headers=headers, **request) as response:
            if "text/event-stream" not in response.headers.get("content-type", ""):
                await response.aread()
                return response, []
            return response, [event async for event in read_events(response)]


async def read_events(response: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
    """Take a stream apart as it arrives; comments are passed over."""
    text = ""
    async for chunk in response.aiter_text():
        # What was looked at is not looked at again: an event of megabytes comes in many chunks.
        start = max(len(text) - 1, 0)
        text += chunk
        while (end := text.find("\n\n", start)) >= 0:
            yield parse_block(text[:end])
            text, start = text[end + 2 :], 0
    assert not text.strip(), f"the stream ends inside an event: {text[-200:]!r}"


def parse_block(block: str) -> ServerSentEvent:
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        if not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
    return ServerSentEvent(fields["id"][-1], fields["event"][-1], "\n".join(fields["data"]))


@asynccontextmanager
async def served(
    app: Any, *, http: Any = "httptools", settings: Settings | None = None
) -> AsyncIterator[str]:
    """Serve an application on a free port: as shipped, or with one of uvicorn's protocols."""
    sock = listen_with_options(settings) if settings else listen("127.0.0.1", 0)
    config = server_config(app, settings) if settings else uvicorn.Config(
        app,
        http=http,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = LoopServer(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(server.ready.wait())
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.stop()
        await task


@asynccontextmanager
async def running(
    *, knobs: Knobs = FAST, http: str | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run service and stand-in; `settings` over the defaults of a test."""
    simulator = create_simulator(knobs)
    async with serving(simulator) as upstream_url:
        base_url = f"{upstream_url}/compatible-mode/v1"
        async with running_against(base_url, http=http, **settings) as service:
            service.simulator = simulator
            yield service


@asynccontextmanager
async def running_against(
    base_url: str, *, http: str | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run the service in front of any upstream, with the shipped protocol or one of uvicorn's."""
    given = {
        "dashscope_api_key": KEY,
        "dashscope_base_url": base_url,
        "allow_anonymous": True,
        "rate_limit": "0",
        "port": 0,
        "_env_file": None,
    } | settings
    settings_read = load(**given)
    app, contract = create_app(settings_read), contract_of(settings_read.models)
    async with served(app, http=http or "httptools", settings=None if http else settings_read) as url:

        async def hold(response: httpx.Response) -> None:
            if str(response.url).startswith(url):
                await contract.hold(response)

        client = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(60),
            limits=httpx.Limits(max_connections=None),
            event_hooks={"response": [hold]},
        )
        async with client:
            yield Running(url, app, client, None)
