"""What one connection, or a handful that never end, can take of a real process."""

import asyncio
import resource
import sys
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.processes import Memory, started
from tests.waiting import eventually
from tests.wire import dial

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GUARD_S = 110
REQUESTS = 100_000
GROWTH_MAX_BYTES = 60_000_000
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
DESCRIPTORS, UPLOADS, OTHERS = 64, 60, 5
TRICKLE_S, LET_IN_S = 0.2, 10
SETTINGS = {
    "DASHSCOPE_API_KEY": "sk-any",
    "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/v1",
    "CLIENT_KEYS": "shop:a-key-that-nobody-shows",
    "PORT": "0",
}


@pytest.mark.parametrize("reads", [True, False])
async def test_a_connection_that_pipelines_requests_takes_little_memory(*, reads: bool) -> None:
    async with asyncio.timeout(GUARD_S), started("app", **SETTINGS) as process:
        memory = Memory(process)
        port = int(process.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(GET * REQUESTS)
            await (reader.read() if reads else writer.drain())
        except ConnectionError:
            pass  # It is closed behind its first answer.
        async with httpx.AsyncClient(base_url=process.url) as http:
            assert (await http.get("/healthz")).status_code == 200
        assert memory.peak_bytes < GROWTH_MAX_BYTES
        writer.transport.abort()


async def test_refused_uploads_that_trickle_do_not_keep_others_out() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(GUARD_S))
        process = await stack.enter_async_context(started("app", **SETTINGS))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=process.url))
        assert (await http.get("/healthz")).status_code == 200
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        head = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        wires = [await stack.enter_async_context(dial(process.url)) for _ in range(UPLOADS)]
        for wire in wires:
            wire.send(head + b"Content-Length: 1000000\r\n\r\n{")
        assert (await wires[0].head()).status == 401

        async def is_let_in() -> bool:
            """While there is no descriptor left, the kernel accepts and the service resets."""
            for wire in wires:
                wire.send(b" ")
            await asyncio.sleep(TRICKLE_S)
            try:
                return (await http.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        for _ in range(OTHERS):
            await eventually(is_let_in, within_s=LET_IN_S)
