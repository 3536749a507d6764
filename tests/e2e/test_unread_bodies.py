"""A body that its request was answered without is read past: it holds up nothing."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from simulator.pictures import PICTURES
from tests.clock import until
from tests.e2e.callers import GUARDED
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, events_of, last_id, request, whole_frames

MB = 1_000_000
UPLOAD_BYTES = 50 * MB
"""More than the kernel takes in for both sides."""
BODY_MAX_BYTES = 20 * MB
BUFFERS_MAX_BYTES = 20 * MB
"""What both sides' kernels take in, and then some."""
MEMORY_MAX_BYTES = 5 * MB
GUARD_S = 30
CHUNKED = b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = {"image_url": GALLERY_URL + PICTURES[7].name, "prompt": "[sim gated tag=live]"}
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def upload(path: str, n_bytes: int, *fields: str) -> bytes:
    """The head of a form that is sent with so many bytes."""
    kind = "Content-Type: multipart/form-data; boundary=b"
    lines = [f"POST {path} HTTP/1.1", "Host: x", kind, f"Content-Length: {n_bytes}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


async def send(wire: Wire, n_bytes: int) -> None:
    """Send so much of a body, no faster than it is taken."""
    piece = b"x" * 50_000
    for _ in range(n_bytes // len(piece)):
        wire.send(piece)
        await wire.writer.drain()


async def open_gate(service: Running) -> None:
    assert service.simulator is not None
    await service.simulator.state.gate.open("live")


async def test_a_stream_that_is_resumed_takes_the_upload_while_it_goes_on() -> None:
    async with asyncio.timeout(GUARD_S), running() as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=ASKED))
            await wire.head()
            seen = b""
            while len(events_of(whole_frames(seen))) < 3:
                seen += await wire.piece()
        async with dial(service.url) as wire:
            last_seen = f"Last-Event-ID: {last_id(whole_frames(seen))}"
            wire.send(upload("/search/stream", UPLOAD_BYTES, last_seen))
            tracemalloc.start()
            try:
                await send(wire, UPLOAD_BYTES)
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak_bytes < MEMORY_MAX_BYTES
            assert (await wire.head()).status == 200
            await open_gate(service)
            assert events_of(await wire.rest())[-1] == b"search.completed"
            wire.send(READY)
            assert (await wire.head()).status == 200


def sized() -> Iterator[bytes]:
    """A body with a length that is far off."""
    yield upload("/search", 10**12)
    while True:
        yield b"x" * 50_000


def chunked() -> Iterator[bytes]:
    """One in chunks without end."""
    yield CHUNKED
    while True:
        yield b"c350\r\n" + b"x" * 50_000 + b"\r\n"


async def sent_before_the_cut(wire: Wire, pieces: Iterator[bytes]) -> int:
    """How many bytes could be sent until the connection was dropped."""
    sent_bytes = 0
    try:
        for piece in pieces:
            wire.send(piece)
            await wire.writer.drain()
            sent_bytes += len(piece)
    except ConnectionError:
        pass
    return sent_bytes


@asynccontextmanager
async def refusing(body_max_bytes: int) -> AsyncIterator[Wire]:
    """A connection to a service that knows the caller not."""
    async with (
        asyncio.timeout(GUARD_S),
        running(**GUARDED, body_max_bytes=body_max_bytes) as service,
        dial(service.url) as wire,
    ):
        yield wire


@pytest.mark.parametrize("passed_over_bytes", [0, 2 * BODY_MAX_BYTES])
@pytest.mark.parametrize("body", [sized, chunked])
async def test_a_refused_caller_who_sends_on_without_end_is_dropped(
    body: Callable[[], Iterator[bytes]], passed_over_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.protocol.PASSED_OVER_BYTES", passed_over_bytes)
    most_bytes = max(BODY_MAX_BYTES, passed_over_bytes)
    async with refusing(BODY_MAX_BYTES) as wire:
        pieces = body()
        wire.send(next(pieces))
        assert (await wire.head()).status == 401
        sent_bytes = await sent_before_the_cut(wire, pieces)
        assert most_bytes < sent_bytes < most_bytes + BUFFERS_MAX_BYTES


@pytest.mark.parametrize("body_max_bytes", [BODY_MAX_BYTES, 0])
async def test_what_may_be_sent_may_be_sent_behind_every_refusal(
    body_max_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.protocol.PASSED_OVER_BYTES", 0)
    async with refusing(body_max_bytes) as wire:
        for _ in range(3):
            wire.send(upload("/search", body_max_bytes or 2 * UPLOAD_BYTES))
            await send(wire, body_max_bytes or 2 * UPLOAD_BYTES)
            status, headers = await wire.head()
            assert status == 401
            await wire.reader.readexactly(int(headers["content-length"]))


FRAMES: dict[str, tuple[bytes, bytes]] = {
    "a chunk's extension": (b"1;x=", b"x" * 50_000),
    "trailers": (b"0\r\n", b"X: y\r\n" * 10_000),
    "a trailer": (b"0\r\nX: ", b"y" * 50_000),
}


@pytest.mark.parametrize("what", FRAMES)
async def test_what_frames_a_refused_body_is_not_read_without_end(what: str) -> None:
    beginning, more = FRAMES[what]
    async with refusing(0) as wire:
        wire.send(CHUNKED + beginning)
        assert (await wire.head()).status == 401
        assert await sent_before_the_cut(wire, repeat(more)) < BUFFERS_MAX_BYTES


@pytest.mark.parametrize("what", FRAMES)
async def test_what_frames_a_body_is_refused_when_it_is_too_large(what: str) -> None:
    beginning, more = FRAMES[what]
    kind = b"Content-Type: application/json\r\n\r\n"
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(CHUNKED[:-2] + kind + b"2\r\n{}\r\n" + beginning)
        await until(lambda: service.service.intake.memory.used_bytes == 2)
        wire.send(more * 2)
        status, headers = await wire.head()
        problem = json.loads(await wire.reader.readexactly(int(headers["content-length"])))
        assert (status, problem["code"]) == (400, "malformed_body")
        await until(lambda: service.service.intake.memory.used_bytes == 0)


async def test_a_body_may_come_in_chunks_of_one_byte_with_trailers_behind_it() -> None:
    body = json.dumps(ASKED | {"prompt": "x" * 5_000}).encode()
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in body)
    kind = b"Content-Type: application/json\r\n\r\n"
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        await open_gate(service)
        for _ in range(2):
            wire.send(CHUNKED[:-2] + kind + chunks + b"0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
            status, headers = await wire.head()
            assert status == 200
            await wire.reader.readexactly(int(headers["content-length"]))
