"""The log of one search: events in the order they came, appended by one task, read by cursor.

A reader's cursor is the number of events it has seen, so a reader that lags costs nothing and
delays nobody. Events are numbered from 1 without gaps.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.models import Event

EVENT_OVERHEAD_BYTES = 160  # Of memory beside its data, in CPython: two objects, a list slot.


def size_of(events: Sequence[Event]) -> int:
    """Memory that events take, in bytes."""
    size_bytes = EVENT_OVERHEAD_BYTES * len(events)
    for event in events:
        size_bytes += len(event.data)
    return size_bytes


@dataclass(eq=False)
class EventLog:
    """An append-only list of events that is closed once."""

    events: list[Event] = field(default_factory=list)
    size_bytes: int = 0  # Memory that they take.
    closed: bool = False
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def append(self, events: Sequence[Event], size_bytes: int, *, close: bool = False) -> None:
        """Add events that take so much memory, `close` if they are the last; wake readers."""
        self.events += events
        self.size_bytes += size_bytes
        self.closed = close
        waiting, self._waiting = self._waiting, []
        for growth in waiting:
            if not growth.done():
                growth.set_result(None)

    def growth(self) -> asyncio.Future[None]:
        """What one reader awaits: it is done in the same turn as the next append."""
        growth = asyncio.get_running_loop().create_future()
        self._waiting.append(growth)
        return growth
