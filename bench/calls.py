"""Closed loops: so many callers, each asking again as soon as it is answered."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.delivery import body_of
from bench.exchange import Broken, Caller, Parts, dial, dial_stream
from bench.faces import Face
from bench.flock import quiet
from bench.site import Site, Spent

ANSWER_S = 120.0
"""Longest wait for one answer."""


@dataclass
class Calls:
    """What a closed loop did: how many calls, how long each took in seconds, what it cost."""

    spent: Spent
    latencies_s: list[float]

    @property
    def per_s(self) -> float:
        """Calls a second."""
        return len(self.latencies_s) / self.spent.wall_s

    @property
    def cpu_ms(self) -> float:
        """The subject's CPU milliseconds for each."""
        return self.spent.subject_s * 1000 / len(self.latencies_s)


async def closed_loop(
    site: Site, ask: Callable[[int], Parts], *, callers: int, seconds: float, text: bytes
) -> Calls:
    """Let `callers` ask for `seconds`; what is under way then is waited for.

    `ask` makes a request of a number; `text` must stand in every answer.

    Raises:
        Broken: An answer was not 200, or not whole.
    """
    connections = [await dial(site.port) for _ in range(callers)]
    latencies_s: list[float] = []

    async def call(caller: Caller) -> None:
        while time.perf_counter() < until_s:
            asked_s = time.perf_counter()
            answer = await caller.ask(ask(site.number()))
            latencies_s.append(time.perf_counter() - asked_s)
            if text not in body_of(answer):
                raise Broken(f"the answer is not whole: …{answer[-300:]!r}")

    try:
        with quiet(), site.spending() as spent:
            until_s = time.perf_counter() + seconds
            async with asyncio.timeout(seconds + ANSWER_S), asyncio.TaskGroup() as group:
                for caller in connections:
                    group.create_task(call(caller))
    finally:
        for caller in connections:
            caller.close()
    return Calls(spent, latencies_s)


async def first_event_s(port: int, face: Face, number: int) -> float:
    """Seconds from a request, on a new connection, to its first upstream event."""
    stream = await dial_stream(port)
    stream.ask(face.stream(number))
    async with asyncio.timeout(ANSWER_S):
        await stream.ended
    stream.close()
    if not stream.opened_s:
        raise Broken(f"no stream was opened: {b''.join(stream.pieces)[:300]!r}")
    return stream.opened_s - stream.asked_s
