"""Many streams at once: opened, released together, read to their ends, checked."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.delivery import check, stalled
from bench.exchange import Broken, Parts, Stream, dial_stream
from bench.shape import BEHIND, Shape
from bench.site import Site, Spent

OPENING = 20
"""Streams being opened at once: neither a flood nor a trickle, whatever the subject's speed."""

OPEN_S, END_S = 60.0, 120.0
"""Longest that all streams may take to open, and to end: then something is broken."""

SETTLE_S = 0.2
"""Between the last opening and the release, for work put off to be done."""

STALL_S = 0.1


@dataclass
class Flock:
    """Streams of one shape, and what it took to open and to feed them."""

    site: Site
    shape: Shape
    streams: list[Stream]
    opening: Spent
    feeding: Spent
    released_s: float | None = None

    @property
    def events(self) -> int:
        """Upstream events behind the opening ones, over all streams."""
        return len(self.streams) * (self.shape.deltas + BEHIND)

    @property
    def stalled(self) -> int:
        """Streams that had to wait over 100 ms for a delta."""
        return stalled(self.streams, self.released_s, STALL_S)

    @property
    def first_event_s(self) -> list[float]:
        """Seconds from each request to its first upstream event."""
        return [stream.opened_s - stream.asked_s for stream in self.streams]

    @property
    def last_event_s(self) -> float:
        """Seconds from the first request to the last byte of the last stream."""
        first = min(stream.asked_s for stream in self.streams)
        return max(stream.times[-1] for stream in self.streams) - first

    def check(self) -> None:
        """Raise `Broken` unless every stream brought everything."""
        for stream in self.streams:
            check(stream, self.shape, self.site.face.last)

    def close(self) -> None:
        """Hang up all."""
        for stream in self.streams:
            stream.close()


async def held(site: Site, shape: Shape, requests: Sequence[Parts]) -> Flock:
    """Open streams whose deltas are held back; they wait for `release`."""
    await site.answer_with(shape)
    with site.spending() as opening:
        turns = asyncio.Semaphore(OPENING)
        opened = [_open(site, parts, turns) for parts in requests]
        async with asyncio.timeout(OPEN_S):
            streams = await asyncio.gather(*opened)
    await asyncio.sleep(SETTLE_S)
    return Flock(site, shape, streams, opening, Spent())


async def release(flock: Flock, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
    """Let the deltas come, and read and check every stream to its end."""
    with quiet(), flock.site.spending() as flock.feeding:
        flock.released_s = time.perf_counter()
        await flock.site.go()
        if meanwhile:
            await meanwhile()
        await _ended(flock.streams)
    flock.close()
    flock.check()


async def at_once(site: Site, shape: Shape, requests: Sequence[Parts]) -> Flock:
    """Open all streams within one interval, nothing held, and read and check them to their ends."""
    await site.answer_with(shape)
    turns = asyncio.Semaphore(len(requests))
    pause_s = shape.interval_s / len(requests)
    with quiet(), site.spending() as feeding:
        tasks = []
        for parts in requests:
            tasks.append(asyncio.create_task(_open(site, parts, turns)))
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(OPEN_S):
            streams = await asyncio.gather(*tasks)
        await _ended(streams)
    flock = Flock(site, shape, streams, Spent(), feeding)
    flock.close()
    flock.check()
    return flock


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection here: its pauses would be read as the subject's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _open(site: Site, parts: Parts, turns: asyncio.Semaphore) -> Stream:
    async with turns:
        stream = await dial_stream(site.port)
        stream.ask(parts)
        await stream.opened
        if not stream.opened_s:
            raise Broken(f"no stream was opened: {b''.join(stream.pieces)[:300]!r}")
        return stream


async def _ended(streams: Sequence[Stream]) -> None:
    async with asyncio.timeout(END_S):
        await asyncio.gather(*(stream.ended for stream in streams))
