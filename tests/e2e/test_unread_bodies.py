"""A body that its request was answered without is read past: it holds up nothing."""

import asyncio
import tracemalloc

from simulator.pictures import PICTURES
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, events_of, last_id, request, whole_frames

MB = 1_000_000
UPLOAD_BYTES = 50 * MB
"""More than the kernel takes in for both sides."""
MEMORY_MAX_BYTES = 5 * MB
GUARD_S = 30
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
