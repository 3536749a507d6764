"""Which readers the kernel drops as too slow, and what they cost until then."""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.asking import IMAGE_URL
from tests.installed import reads_proc
from tests.processes import Memory, service, simulator
from tests.wire import request

GUARD_S = 280
pytestmark = [reads_proc, pytest.mark.timeout(GUARD_S + 20)]

LIMIT_S = 10
"""A third of the default: 48 KiB/s here stands for 16 KiB/s."""
READERS = 5
READER_MAX_BYTES = 2_000_000
"""Far less than a stream has, so that it shows when one is held for a reader."""
USUAL_BYTES, TINY_BYTES, KNOWN_BYTES = 0, 4_096, 262_144
"""Receive buffers: the system's, less than a segment, and one whose window is known to open."""
SEGMENT_BYTES = 1_460
"""Ethernet's: a full buffer drops loopback's of 64 KiB, and TCP repeats them after seconds."""
ASKED = {"image_url": IMAGE_URL, "prompt": "[sim big_event bytes=4000000]"}


class Pace(NamedTuple):
    """A reader: so many bytes each time, at such intervals; whether it is kept."""

    n_bytes: int
    every_s: float
    receive_bytes: int
    kept: bool


PACES = {
    "takes nothing": Pace(0, 1, USUAL_BYTES, kept=False),
    "takes nothing, with a small buffer": Pace(0, 1, TINY_BYTES, kept=False),
    "48 KiB/s": Pace(16_384, 1 / 3, KNOWN_BYTES, kept=True),
    "in bursts": Pace(200_000, 4, KNOWN_BYTES, kept=True),
}
READING = [(kind, pace) for kind, pace in PACES.items() for _ in range(READERS)]


async def follow(sock: socket.socket, pace: Pace) -> None:
    """Read at this pace until the stream ends."""
    loop = asyncio.get_running_loop()
    while pace.n_bytes:
        left = pace.n_bytes
        while left:
            piece = await loop.sock_recv(sock, left)
            assert piece, "it was dropped"
            left -= len(piece)
        await asyncio.sleep(pace.every_s)


async def test_a_reader_is_dropped_if_and_only_if_it_takes_nothing_for_the_limit() -> None:
    async with AsyncExitStack() as stack:
        enter, loop = stack.enter_async_context, asyncio.get_running_loop()
        await enter(asyncio.timeout(GUARD_S))
        process = await enter(service(await enter(simulator()), STREAM_SEND_TIMEOUT_S=str(LIMIT_S)))
        http = await enter(httpx.AsyncClient(base_url=process.url, timeout=GUARD_S))
        path = f"/search/{(await http.post('/search', json=ASKED)).json()['id']}/stream"
        memory = Memory(process)
        socks, following = [], []
        for _, pace in READING:
            # Of the system's own calls: streams of asyncio read ahead.
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
            if pace.receive_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, pace.receive_bytes)
            await loop.sock_connect(sock, ("127.0.0.1", int(process.url.rpartition(":")[2])))
            await loop.sock_sendall(sock, request("GET", path, headers={"Connection": "close"}))
            following.append(asyncio.create_task(follow(sock, pace)))
            socks.append(sock)
        await asyncio.sleep(4 * LIMIT_S)
        while await streams_open(http) > sum(pace.kept for _, pace in READING):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        assert memory.peak_bytes < len(READING) * READER_MAX_BYTES
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        tails = await asyncio.gather(*map(tail_of, socks))
        for tail, (kind, pace) in zip(tails, READING, strict=True):
            assert (tail == b"\r\n0\r\n\r\n") is pace.kept, kind


async def tail_of(sock: socket.socket) -> bytes:
    """The last bytes of what is left, as far as it comes."""
    loop, tail = asyncio.get_running_loop(), b""
    with suppress(ConnectionError):
        while piece := await loop.sock_recv(sock, 65_536):
            tail = (tail + piece)[-7:]
    return tail


async def streams_open(http: httpx.AsyncClient) -> int:
    text = (await http.get("/metrics")).text
    return int(float(text.partition("\nimagesearch_streams_open ")[2].split()[0]))
