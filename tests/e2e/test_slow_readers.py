"""A reader that takes nothing holds up nobody, is dropped in time, and can resume.

With the real process, since who is too slow is decided between its kernel and the reader's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from tests.e2e.asking import IMAGE_URL
from tests.processes import service, simulator
from tests.wire import Wire, dial, request, whole_frames

READERS = 20
SEND_TIMEOUT_S = 1
RECEIVE_BYTES = 4_096
"""What a client's kernel takes in unread, so that the service's kernel has to wait."""
GUARD_S = 60
LARGE, SMALL = "[sim big_event bytes=4000000]", "[sim endless bytes=200]"
LIMITS = {LARGE: {}, SMALL: {"UPSTREAM_MAX_EVENT_BYTES": "65536", "SEARCH_MAX_BYTES": "4000000"}}


@asynccontextmanager
async def finished(prompt: str) -> AsyncIterator[tuple[str, str, bytes]]:
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, STREAM_SEND_TIMEOUT_S=str(SEND_TIMEOUT_S), **LIMITS[prompt]) as process,
    ):
        async with dial(process.url) as wire:
            body = {"image_url": IMAGE_URL, "prompt": prompt}
            wire.send(request("POST", "/search/stream", body=body))
            search_id = (await wire.head()).headers["x-search-id"]
            whole = whole_frames(await wire.rest())
        yield process.url, search_id, whole


async def streams_open(http: httpx.AsyncClient) -> bytes:
    text = (await http.get("/metrics")).content
    return text.partition(b"\nimagesearch_streams_open ")[2].partition(b"\n")[0]


async def stalled(stack: AsyncExitStack, url: str, search_id: str) -> Wire:
    wire = await stack.enter_async_context(dial(url, receive_bytes=RECEIVE_BYTES))
    wire.stop_reading()
    wire.send(request("GET", f"/search/{search_id}/stream"))
    return wire


async def read(url: str, search_id: str, *, after: int = 0) -> bytes:
    async with dial(url) as wire:
        wire.send(request("GET", f"/search/{search_id}/stream", query={"after": after}))
        assert (await wire.head()).status == 200
        return whole_frames(await wire.rest())


@pytest.mark.parametrize("prompt", LIMITS, ids=["one large event", "many small ones"])
async def test_stalled_readers_hold_up_nobody_are_dropped_and_can_resume(prompt: str) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url, search_id, whole = await enter(finished(prompt))
        http = await enter(httpx.AsyncClient(base_url=url))
        wires = [await stalled(stack, url, search_id) for _ in range(READERS)]
        while await streams_open(http) != b"%d.0" % READERS:
            pass
        assert await read(url, search_id) == whole
        while await streams_open(http) != b"0.0":  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        for wire in wires:
            wire.reset()
        first = whole.index(b"\n\n") + 2
        assert await read(url, search_id, after=1) == whole[first:]
