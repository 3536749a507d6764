"""Memory stays bounded: endless events, endless answers, stalled readers, refused uploads."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.processes import Process, service, simulator
from tests.slow.memory import MIB, Memory
from tests.wire import dial, events_of, request, whole_frames

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

READERS = 200
HELD_MAX_BYTES = 100_000
"""By one stalled reader, in the process."""
RECEIVE_BYTES = 4_096
GUARD_S = 100
SMALL = {"UPSTREAM_MAX_EVENT_BYTES": "262144", "SEARCH_MAX_BYTES": "2097152"}


@asynccontextmanager
async def process_with(**settings: str) -> AsyncIterator[Process]:
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, **settings) as process,
    ):
        # Once, what every search needs once.
        assert (await search(process, "Look"))[-1] == b"search.completed"
        yield process


async def search(process: Process, prompt: str) -> list[bytes]:
    """The names of a search's events."""
    async with dial(process.url) as wire:
        body = {"image_url": IMAGE_URL, "prompt": prompt}
        wire.send(request("POST", "/search/stream", body=body))
        head = await wire.head()
        return events_of(await wire.rest()) if head.status == 200 else [b"search.failed"]


@pytest.mark.parametrize(
    ("prompt", "settings", "most_bytes"),
    [
        ("[sim event_without_end bytes=65536]", {}, 24 * MIB),
        ("[sim event_without_end bytes=65536]", SMALL, 12 * MIB),
        ("[sim endless bytes=10000]", SMALL, 32 * MIB),
        ("[sim endless bytes=1000]", {}, 200 * MIB),
    ],
    ids=["an event", "an event, small limit", "an answer, small limit", "an answer"],
)
async def test_what_never_ends_takes_bounded_memory_and_is_ended(
    prompt: str, settings: dict[str, str], most_bytes: int
) -> None:
    async with process_with(**settings) as process:
        memory = Memory(process)
        assert (await search(process, prompt))[-1] == b"search.failed"
        assert memory.peak_bytes < most_bytes


@pytest.mark.parametrize("scenario", ["big_event bytes=4000000", "endless bytes=200"])
async def test_stalled_readers_hold_little_each(scenario: str) -> None:
    async with process_with(STREAM_SEND_TIMEOUT_S="60") as process, AsyncExitStack() as stack:
        async with dial(process.url) as wire:
            body = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
            wire.send(request("POST", "/search/stream", body=body))
            search_id = (await wire.head()).headers["x-search-id"]
            whole = await wire.rest()
        memory = Memory(process)
        for _ in range(READERS):
            stalled = await stack.enter_async_context(
                dial(process.url, receive_bytes=RECEIVE_BYTES)
            )
            stalled.stop_reading()
            stalled.send(request("GET", f"/search/{search_id}/stream"))
        async with dial(process.url) as wire:
            wire.send(request("GET", f"/search/{search_id}/stream"))
            await wire.head()
            assert whole_frames(await wire.rest()) == whole_frames(whole)
        assert memory.peak_bytes / READERS < HELD_MAX_BYTES


async def test_a_refused_upload_is_kept_nowhere() -> None:
    keys = {"ALLOW_ANONYMOUS": "false", "CLIENT_KEYS": "shop:key-of-the-shop-0123456789"}
    piece = b"x" * 50_000
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, **keys) as process,
        dial(process.url) as wire,
    ):
        memory = Memory(process)
        lines = ["POST /search HTTP/1.1", "Host: x", "Content-Length: 50000000", "", ""]
        wire.send("\r\n".join(lines).encode())
        await wire.send_all(piece, 1_000)
        assert (await wire.body())[0] == 401
        assert memory.peak_bytes < 12 * MIB
