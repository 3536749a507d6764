"""The log of one search: events in the order they came, appended by one task, read by cursor.

A reader's cursor is the number of events it has seen, so a reader that lags costs nothing and
delays nobody. Events are numbered from 1 without gaps.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.models import Event

EVENT_OVERHEAD_BYTES = 160
"""Memory of an event beside its data in CPython 3.11: two object headers and a list slot."""


def size_of(events: Sequence[Event]) -> int:
    """Memory that events take, in bytes."""
    size_bytes = EVENT_OVERHEAD_BYTES * len(events)
    for event in events:
        size_bytes += len(event.data)
    return size_bytes


class EventLog:
    """An append-only list of events that is closed once. `size_bytes` is the memory it takes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.size_bytes = 0
        self.closed = False
        self._watchers: set[asyncio.Event] = set()

    def append(self, events: Sequence[Event], size_bytes: int) -> None:
        """Add events that take `size_bytes` in all, and wake the readers once."""
        self.events += events
        self.size_bytes += size_bytes
        self._wake()

    def close(self) -> None:
        """Mark that no event will follow, and wake the readers."""
        self.closed = True
        self._wake()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that is set in the same turn as each append and the close. Clear it yourself."""
        grown = asyncio.Event()
        self._watchers.add(grown)
        try:
            yield grown
        finally:
            self._watchers.discard(grown)

    def _wake(self) -> None:
        for grown in self._watchers:
            grown.set()
