"""A reader that takes nothing holds up nobody, is dropped in time, and can resume.

With the real process, since who is too slow is decided between its kernel and the reader's.
"""

import asyncio
from contextlib import AsyncExitStack

import httpx

from tests.e2e.asking import IMAGE_URL
from tests.processes import service, simulator
from tests.wire import Wire, dial, replay, request

READERS = 20
RECEIVE_BYTES = 4_096
"""What a client's kernel takes in unread, so that the service's kernel has to wait."""
GUARD_S = 60
LARGE = {"image_url": IMAGE_URL, "prompt": "[sim big_event bytes=4000000]"}


async def streams_open(http: httpx.AsyncClient) -> bytes:
    text = (await http.get("/metrics")).content
    return text.partition(b"\nimagesearch_streams_open ")[2].partition(b"\n")[0]


async def stalled(stack: AsyncExitStack, url: str, search_id: str) -> Wire:
    wire = await stack.enter_async_context(dial(url, receive_bytes=RECEIVE_BYTES))
    wire.stop_reading()
    wire.send(request("GET", f"/search/{search_id}/stream"))
    return wire


async def test_stalled_readers_hold_up_nobody_are_dropped_and_can_resume() -> None:
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, STREAM_SEND_TIMEOUT_S="1") as process,
        httpx.AsyncClient(base_url=process.url) as http,
        AsyncExitStack() as stack,
    ):
        search_id = (await http.post("/search", json=LARGE)).json()["id"]
        whole = await replay(process.url, search_id)
        wires = [await stalled(stack, process.url, search_id) for _ in range(READERS)]
        while await streams_open(http) != b"%d.0" % READERS:
            pass
        assert await replay(process.url, search_id) == whole
        while await streams_open(http) != b"0.0":  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        for wire in wires:
            wire.reset()
        first = whole.index(b"\n\n") + 2
        assert await replay(process.url, search_id, after=1) == whole[first:]
