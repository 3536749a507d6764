"""A reader that takes nothing holds little, holds up nobody, is dropped in time, and can resume."""

import asyncio
import fcntl
import gc
import struct
import termios
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from app.protocol import AbortableProtocol
from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, request, whole_frames

READERS = 200
HELD_MAX_BYTES = 100_000
"""By one stalled reader, here and in the kernel; its client's own objects in this process, too."""
RECEIVE_BYTES = 4_096
"""What a client's kernel takes in unread, so that the service and not the kernel has to wait."""
SEND_TIMEOUT_S = 3_600
URL = GALLERY_URL + PICTURES[7].name
LONG = {
    "in one large event": "[sim big_event bytes=4000000]",
    "in many small events": "[sim endless bytes=20]",
}


@asynccontextmanager
async def service_with(case: str) -> AsyncIterator[tuple[Running, str, bytes]]:
    """A service with a finished search of some megabytes: its id, and its whole stream."""
    limits: dict[str, Any] = {"search_retention_s": 2 * SEND_TIMEOUT_S}
    if "small" in case:
        limits |= {"upstream_max_event_bytes": 65_536, "search_max_bytes": 4_000_000}
    async with running(stream_send_timeout_s=SEND_TIMEOUT_S, **limits) as service:
        async with dial(service.url) as wire:
            wire.send(
                request("POST", "/search/stream", body={"image_url": URL, "prompt": LONG[case]})
            )
            search_id = (await wire.head()).headers["x-search-id"]
            whole = whole_frames(await wire.rest())
        await service.http.aclose()
        yield service, search_id, whole


CONNECTIONS: weakref.WeakSet[AbortableProtocol] = weakref.WeakSet()


@pytest.fixture(autouse=True)
def noted_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know every connection: the collector would tell them in a list of all objects there are."""
    made = AbortableProtocol.connection_made

    def connection_made(one: AbortableProtocol, transport: asyncio.Transport) -> None:
        CONNECTIONS.add(one)
        made(one, transport)

    monkeypatch.setattr(AbortableProtocol, "connection_made", connection_made)


def connections() -> list[AbortableProtocol]:
    return [one for one in CONNECTIONS if not one.transport.is_closing()]


def stalled() -> int:
    """Connections on which the service waits for its reader."""
    return sum(one.flow.write_paused for one in connections())


def unsent_bytes(connection: AbortableProtocol) -> int:
    """What the kernel holds for the reader of a connection."""
    fd = connection.transport.get_extra_info("socket").fileno()
    held: int = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))[0]
    return held


async def stall(stack: AsyncExitStack, service: Running, search_id: str) -> list[Wire]:
    """Have all readers ask for the stream and read nothing of it."""
    wires = []
    for _ in range(READERS):
        wire = await stack.enter_async_context(dial(service.url, receive_bytes=RECEIVE_BYTES))
        wire.stop_reading()
        wire.send(request("GET", f"/search/{search_id}/stream"))
        wires.append(wire)
    await until(lambda: streams_open(service) == READERS)
    while stalled() < READERS:
        await settle()
    return wires


def streams_open(service: Running) -> float:
    return float(service.service.metrics.streams_open._value.get())


async def read_whole(service: Running, search_id: str, *, after: int = 0) -> bytes:
    async with dial(service.url) as wire:
        wire.send(request("GET", f"/search/{search_id}/stream", query={"after": after}))
        assert (await wire.head()).status == 200
        return whole_frames(await wire.rest())


@pytest.mark.parametrize("case", LONG)
async def test_readers_that_stall_hold_little_and_are_dropped_in_time(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with service_with(case) as (service, search_id, whole), AsyncExitStack() as stack:
        gc.collect()
        tracemalloc.start()
        wires = await stall(stack, service, search_id)
        gc.collect()
        held_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        held_bytes += sum(unsent_bytes(one) for one in connections())
        assert held_bytes / READERS < HELD_MAX_BYTES

        # Nobody else waits for them.
        assert await read_whole(service, search_id) == whole
        skip(SEND_TIMEOUT_S // 2)
        await settle()
        assert streams_open(service) == READERS
        skip(SEND_TIMEOUT_S // 2)
        await until(lambda: streams_open(service) == 0)
        await until(lambda: not connections())
        for wire in wires:
            wire.reset()
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

        first = whole.index(b"\n\n") + 2
        async with asyncio.TaskGroup() as group:
            again = [
                group.create_task(read_whole(service, search_id, after=1))
                for _ in range(READERS // 10)
            ]
        assert all(one.result() == whole[first:] for one in again)
        assert service.record.total == 1
