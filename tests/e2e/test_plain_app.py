"""`app.main:app` under uvicorn's own command, with uvicorn's own logs."""

import asyncio
import re

import httpx

from tests.processes import started
from tests.wire import dial

SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
GUARD_S = 60


async def test_no_query_gets_into_its_log() -> None:
    address = "/search/stream?access_token=canary-token&prompt=canary-prompt"
    command = ("uvicorn", "app.main:app", "--port", "0")
    async with asyncio.timeout(GUARD_S):
        async with started(*command, DASHSCOPE_API_KEY="k", ALLOW_ANONYMOUS="true") as process:
            async with httpx.AsyncClient(base_url=process.url) as http:
                assert (await http.get(address)).status_code == 406
            async with dial(process.url) as wire:
                lines = (f"{name}: {value}" for name, value in SOCKET.items())
                asked = [f"GET {address} HTTP/1.1", "Host: x", *lines, "", ""]
                wire.send("\r\n".join(asked).encode())
                await wire.head()
        assert re.search(r'- "GET /search/stream HTTP/1\.1" 406', process.said)
        assert "canary" not in process.said
