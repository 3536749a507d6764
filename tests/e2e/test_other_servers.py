"""The application under servers that offer it no more than ASGI: it behaves the same."""

import asyncio
import importlib.util
import re

import httpx
import pytest

from tests.e2e.asking import ASKED
from tests.processes import KEY, simulator, started
from tests.service import parse_block
from tests.wire import dial, request

SERVERS: dict[str, tuple[str, ...]] = {"uvicorn": ("app.main:app", "--port", "0")}
if importlib.util.find_spec("hypercorn"):
    SERVERS["hypercorn"] = ("app.main:app", "--workers", "0", "--bind", "127.0.0.1:0")
GUARD_S = 60


@pytest.mark.parametrize("server", SERVERS)
async def test_it_runs_under_a_servers_own_command_and_no_query_gets_into_its_log(
    server: str,
) -> None:
    secret = {"access_token": "canary-token", "prompt": "canary-prompt"}
    async with asyncio.timeout(GUARD_S), simulator() as upstream:
        settings = {
            "DASHSCOPE_API_KEY": KEY,
            "DASHSCOPE_BASE_URL": f"{upstream.url}/compatible-mode/v1",
            "ALLOW_ANONYMOUS": "true",
        }
        async with (
            started(server, *SERVERS[server], **settings) as process,
            httpx.AsyncClient(base_url=process.url, timeout=GUARD_S) as http,
        ):
            assert (await http.get("/search/stream", params=secret)).status_code == 406
            async with dial(process.url) as wire:
                upgrade = {
                    "Connection": "Upgrade",
                    "Upgrade": "websocket",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                }
                wire.send(request("GET", "/search/stream", query=secret, headers=upgrade))
                await wire.head()
            stream = await http.post("/search/stream", json=ASKED)
            last = parse_block(stream.text.removesuffix("\n\n").split("\n\n")[-1])
            assert last.event == "search.completed"
    if server == "uvicorn":
        assert re.search(r'- "GET /search/stream HTTP/1\.1" 406', process.said)
    assert "canary" not in process.said
