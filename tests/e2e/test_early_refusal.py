"""Who may not search is told so while the upload is still being sent, and it is kept nowhere."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.clock import settle
from tests.e2e.callers import BLOG_KEY, EVIL, GUARDED, SHOP_KEY
from tests.service import Running, running

MB = 1_000_000
UPLOAD_BYTES = 50 * MB
SENT_FIRST_BYTES = MB
MEMORY_MAX_BYTES = 5 * MB
"""A connection's buffers and a test's own, far from an upload."""

GUARD_S = 30
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "no key": ({}, 401, "unauthorized"),
    "a wrong key": ({"Authorization": "Bearer sk-wrong"}, 401, "unauthorized"),
    "a foreign page": (
        {"Authorization": f"Bearer {BLOG_KEY}", "Origin": EVIL},
        403,
        "origin_not_allowed",
    ),
    "too many requests": ({"Authorization": f"Bearer {SHOP_KEY}"}, 429, "rate_limited"),
}


class Connection:
    """HTTP/1.1 by hand: the body is sent when the test says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, path: str, headers: dict[str, str], n_bytes: int) -> None:
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: service.example",
            f"Content-Length: {n_bytes}",
            *(f"{name}: {value}" for name, value in (FORM | headers).items()),
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        await self._writer.drain()

    async def send(self, n_bytes: int) -> None:
        piece = b"x" * 50_000
        for _ in range(n_bytes // len(piece)):
            self._writer.write(piece)
            await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, Any]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        n_bytes = int(head.split("content-length: ")[1].split("\r\n")[0])
        return int(head.split(" ")[1]), json.loads(await self._reader.readexactly(n_bytes))

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: service.example\r\n\r\n".encode())
        return await self.answer()

    def abort(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(service: Running) -> AsyncIterator[Connection]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def strict_service() -> AsyncIterator[Running]:
    """The shop has used up its rate."""
    async with running(**GUARDED, rate_limit="1/day") as service:
        used = await service.http.post("/search", headers={"Authorization": f"Bearer {SHOP_KEY}"})
        assert used.status_code == 400
        yield service


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
@pytest.mark.parametrize("why", REFUSED)
async def test_a_refusal_comes_while_fifty_megabytes_are_still_being_sent(
    why: str, path: str
) -> None:
    headers, status, code = REFUSED[why]
    async with asyncio.timeout(GUARD_S), strict_service() as service, connected(service) as caller:
        await caller.begin(path, headers, UPLOAD_BYTES)
        await caller.send(SENT_FIRST_BYTES)
        answer = await caller.answer()
        assert (answer[0], answer[1]["code"]) == (status, code)
        assert service.service.intake.memory.used_bytes == 0


async def test_the_rest_of_a_refused_upload_is_passed_over_and_the_connection_goes_on() -> None:
    async with asyncio.timeout(GUARD_S), strict_service() as service, connected(service) as caller:
        await caller.begin("/search", {}, UPLOAD_BYTES)
        await caller.send(SENT_FIRST_BYTES)
        assert (await caller.answer())[0] == 401
        tracemalloc.start()
        try:
            await caller.send(UPLOAD_BYTES - SENT_FIRST_BYTES)
            assert (await caller.get("/readyz"))[0] == 200
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < MEMORY_MAX_BYTES


async def test_a_refused_caller_may_hang_up_in_mid_upload() -> None:
    async with asyncio.timeout(GUARD_S), strict_service() as service:
        async with connected(service) as caller:
            await caller.begin("/search", {}, UPLOAD_BYTES)
            await caller.send(SENT_FIRST_BYTES)
            assert (await caller.answer())[0] == 401
            caller.abort()
        await settle()
        assert (await service.http.get("/readyz")).status_code == 200
