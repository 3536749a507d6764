"""The service and the stand-in upstream on real sockets, in the test's own event loop."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from opentelemetry.trace import get_tracer_provider
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.server import server_config
from app.settings import load
from simulator import Knobs, serving
from simulator import create_app as create_simulator
from simulator.record import Call, Record
from tests.contract import contract_of
from tests.peer import Handler, Peer
from tests.peer import serving as serving_peer

KEY = "sk-the-servers-own-key-5f1c"
FAST = Knobs(key=KEY, pace_s=0, silence_s=0)
GALLERY_URL = "https://gallery.example/"
START_S = 30
DEFAULTS: dict[str, Any] = {}
"""Settings of all services that are run, where a group of tests adds some."""


class ServerSentEvent(NamedTuple):
    """One event as a client reads it."""

    id: str
    event: str
    data: str

    def json(self) -> Any:
        return json.loads(self.data)

    def result(self) -> dict[str, Any]:
        """The `SearchResult` of a last event, without its name beside it."""
        return {name: value for name, value in self.json().items() if name != "type"}


@dataclass
class Running:
    """A service that answers, and the stand-in behind it."""

    url: str
    http: httpx.AsyncClient
    upstream_url: str
    simulator: Any = None

    @property
    def record(self) -> Record:
        """What the stand-in was asked, and how each call ended."""
        record: Record = self.simulator.state.record
        return record

    async def last_call(self) -> Call:
        """The latest that the stand-in was asked, when none is under way."""
        await self.record.idle()
        return self.record.calls[-1]

    async def open_gate(self, tag: str) -> None:
        """Let calls of the scenario `gated` go on."""
        await self.simulator.state.gate.open(tag)

    async def metric(self, name: str, **labels: str) -> float:
        """A metric as an operator sees it; without labels the sum over all; 0 if not there."""
        text = (await self.http.get("/metrics")).text
        samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
        wanted = labels.items()
        return sum(
            one.value for one in samples if one.name == name and wanted <= one.labels.items()
        )

    async def until_metric(self, name: str, value: float, **labels: str) -> None:
        """Ask until a metric has this value."""
        while await self.metric(name, **labels) != value:
            pass

    async def stream(
        self, method: str = "POST", path: str = "/search/stream", **request: Any
    ) -> tuple[httpx.Response, list[ServerSentEvent]]:
        """Read a whole stream; another response comes back read, without events."""
        headers = {"Accept": "text/event-stream"} | request.pop("headers", {})
        async with self.http.stream(method, path, headers=headers, **request) as response:
            if "text/event-stream" not in response.headers.get("content-type", ""):
                await response.aread()
                return response, []
            return response, [event async for event in read_events(response)]


async def read_events(response: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
    text = ""
    async for chunk in response.aiter_text():
        # An event of megabytes comes in many chunks: no part of it is searched twice.
        start = max(len(text) - 1, 0)
        text += chunk
        while (end := text.find("\n\n", start)) >= 0:
            if not text.startswith("retry:"):  # Without an event, before a cut.
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


listen = partial(serving.listen, "127.0.0.1", 0)


@asynccontextmanager
async def served(
    app: Any, *, http: Any = "httptools", config: uvicorn.Config | None = None
) -> AsyncIterator[str]:
    """Serve an application on a free port: as `config` says, or plainly, with this protocol."""
    if config is None:
        # Longer than the service keeps idle connections to its upstream: none closes as it is used.
        config = uvicorn.Config(
            app, http=http, ws="none", log_config=None, access_log=False, timeout_keep_alive=75
        )
    listener = listen()
    server = serving.LoopServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(START_S):
            waiting = asyncio.create_task(server.ready.wait())
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        if hang_up := getattr(getattr(app, "state", None), "hang_up", None):
            hang_up()
        server.stop()
        await task


@asynccontextmanager
async def running(*, knobs: Knobs = FAST, **how: Any) -> AsyncIterator[Running]:
    """Run service and stand-in; `how` as below."""
    simulator = create_simulator(knobs)
    async with served(simulator) as upstream_url:
        base_url = f"{upstream_url}/compatible-mode/v1"
        async with running_against(base_url, **how) as service:
            service.simulator = simulator
            yield service


@asynccontextmanager
async def running_against(
    base_url: str, *, http: str | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run the service in front of any upstream, as it is shipped or on plain uvicorn (`http`)."""
    given = {
        "dashscope_api_key": KEY,
        "dashscope_base_url": base_url,
        "allow_anonymous": True,
        "rate_limit": "0",
        "image_workers": 1,
        "_env_file": None,
    }
    given |= DEFAULTS | settings
    settings_read = load(**given)
    app = create_app(settings_read, tracer_provider=get_tracer_provider())
    contract = contract_of(settings_read.models)
    # Making the document again would take most of a short test's time.
    app.openapi_schema = contract.document
    config = None if http else server_config(app, settings_read)
    async with served(app, http=http, config=config) as url:

        async def hold(response: httpx.Response) -> None:
            if str(response.url).startswith(url):
                await contract.hold(response)

        client = httpx.AsyncClient(
            verify=False,  # Loading certificates would take most of a short test's time.
            base_url=url,
            timeout=httpx.Timeout(60),
            limits=httpx.Limits(max_connections=None),
            event_hooks={"response": [hold]},
        )
        async with client:
            yield Running(url, client, base_url)


@asynccontextmanager
async def fronting(
    *handlers: Handler, **settings: Any
) -> AsyncGenerator[tuple[Running, Peer], None]:
    """Run the service in front of a scripted peer."""
    async with serving_peer(*handlers) as peer, running_against(peer.url, **settings) as service:
        yield service, peer


def shared(opens: Callable[..., AbstractAsyncContextManager[Any]], **settings: Any) -> Any:
    """A fixture: what `opens` gives with these settings, for all tests of a module."""

    @pytest.fixture(scope="module")
    async def opened() -> AsyncGenerator[Any, None]:
        async with opens(**settings) as one:
            yield one

    return opened
