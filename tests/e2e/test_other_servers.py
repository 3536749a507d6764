"""The application under servers that offer it no more than ASGI: it behaves the same."""

import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clock import quiet, skip
from tests.e2e.asking import ASKED, STALLED
from tests.processes import Process, simulator, started
from tests.service import KEY, parse_block, running
from tests.wire import dial, request

PROTOCOLS = ("h11", "httptools")
"""uvicorn's own, as they are."""

SERVERS = {"uvicorn": ("app.main:app", "--port", "0")}
if importlib.util.find_spec("hypercorn"):
    SERVERS["hypercorn"] = ("app.main:app", "--bind", "127.0.0.1:0")
SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
GUARD_S = 60


@pytest.mark.parametrize("http", PROTOCOLS)
async def test_a_stream_and_a_wait_bring_the_same(http: str) -> None:
    async with running(http=http) as service:
        response, events = await service.stream(json=ASKED)
        waited = await service.http.post("/search", json=ASKED)
        assert response.status_code == 200
        assert waited.json() == events[-1].result()
        assert waited.json()["results"]
        _, again = await service.stream("GET", f"/search/{waited.json()['id']}/stream")
        assert again == events


@pytest.mark.parametrize("http", PROTOCOLS)
@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_a_caller_who_leaves_is_noticed(path: str, http: str) -> None:
    async with running(http=http, stream_linger_s=0) as service, dial(service.url) as wire:
        wire.send(request("POST", path, body=STALLED))
        await quiet()
        assert service.record.open == 1
        wire.reset()
        await service.record.idle()
        assert service.record.calls[-1].finished == "client_gone"


@pytest.mark.parametrize("http", PROTOCOLS)
async def test_a_silence_is_filled_with_comment_lines(http: str) -> None:
    async with running(http=http, stream_progress_s=0) as service, dial(service.url) as wire:
        wire.send(request("POST", "/search/stream", body=STALLED))
        await wire.head()
        for _ in range(3):
            await quiet()
            skip(15.1)
        await quiet()
        stream = b""
        while stream.count(b": keep-alive\n") < 3:
            stream += await wire.piece()


@asynccontextmanager
async def serving(server: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """`app.main:app` under a server's own command, with the server's own logs."""
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        started(
            server,
            *SERVERS[server],
            DASHSCOPE_API_KEY=KEY,
            DASHSCOPE_BASE_URL=f"{upstream.url}/compatible-mode/v1",
            ALLOW_ANONYMOUS="true",
        ) as process,
        httpx.AsyncClient(base_url=process.url, timeout=GUARD_S) as http,
    ):
        yield process, http


@pytest.mark.parametrize("server", SERVERS)
async def test_it_runs_under_a_servers_own_command_and_no_query_gets_into_its_log(
    server: str,
) -> None:
    secret = {"access_token": "canary-token", "prompt": "canary-prompt"}
    async with serving(server) as (process, http):
        assert (await http.get("/search/stream", params=secret)).status_code == 406
        async with dial(process.url) as wire:
            address = "/search/stream?access_token=canary-token"
            asked = request("GET", address, headers=SOCKET)
            wire.send(asked)
            await wire.head()
        stream = await http.post("/search/stream", json=ASKED)
        assert stream.status_code in {200, 502}
        if stream.status_code == 200:
            blocks = stream.text.removesuffix("\n\n").split("\n\n")
            assert parse_block(blocks[-1]).event in {"search.completed", "search.failed"}
    if server == "uvicorn":
        assert re.search(r'- "GET /search/stream HTTP/1\.1" 406', process.said)
    assert "canary" not in process.said
