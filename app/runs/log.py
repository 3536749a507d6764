"""The log of one search: events in the order they came, appended by one task, read by cursor.

A reader's place is the number of events it has seen, so a reader that lags costs nothing and
holds up nobody. Events are numbered from 1 without gaps.
"""

import asyncio
import math
from collections.abc import Sequence

from app.models import Event

EVENT_OVERHEAD_BYTES = 160
"""What CPython 3.11 holds for an event beside its data: two objects' headers and a list slot."""

READ_EVENTS = 256
"""Most events given out at once, so that a reader that stalls holds no list of a whole log."""


def held_bytes(event: Event) -> int:
    """Memory that an event takes in a log."""
    return len(event.data) + EVENT_OVERHEAD_BYTES


class EventLog:
    """An append-only list of events that ends once."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.size_bytes = 0
        self.closed = False
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    def append(self, event: Event) -> None:
        """Add an event and wake every reader that waits for one."""
        self.events.append(event)
        self.size_bytes += held_bytes(event)
        self._wake()

    def close(self) -> None:
        """Say that no event will follow."""
        self.closed = True
        self._wake()

    async def read(self, after: int, *, within_s: float | None = None) -> Sequence[Event]:
        """Return the next events behind the first `after`, waiting for one if there is none yet.

        Empty when the log has ended there, or when `within_s` seconds (`None`: no limit) passed
        without an event.
        """
        if len(self.events) <= after and not self.closed:
            await self._growth(after, within_s)
        return self.events[after : after + READ_EVENTS]

    async def _growth(self, after: int, within_s: float | None) -> None:
        loop = self._loop
        until = math.inf if within_s is None else loop.time() + within_s
        while len(self.events) <= after and not self.closed and loop.time() < until:
            waiter = loop.create_future()
            self._waiting.append(waiter)
            timer = loop.call_at(until, _wake, waiter) if within_s is not None else None
            try:
                await waiter
            finally:
                if timer:
                    timer.cancel()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
