"""The log of one search: events in the order they came, appended by one task, read by cursor.

A reader's place is the number of events it has seen, so a reader that lags costs nothing and
holds up nobody. Events are numbered from 1 without gaps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.models import Event

EVENT_OVERHEAD_BYTES = 160
"""What CPython 3.11 holds for an event beside its data: two objects' headers and a list slot."""


def kept_bytes(event: Event) -> int:
    """What an event takes in memory."""
    return len(event.data) + EVENT_OVERHEAD_BYTES


class EventLog:
    """An append-only list of events that ends once."""

    __slots__ = ("_readers", "closed", "events", "size_bytes")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.size_bytes = 0
        self.closed = False
        self._readers: tuple[Callable[[], None], ...] = ()

    def append(self, event: Event, size_bytes: int) -> None:
        """Add an event that takes so many bytes, overhead and all.

        Whoever appends tells the readers, by `tell`, when it has no more.
        """
        self.events.append(event)
        self.size_bytes += size_bytes

    def close(self) -> None:
        """Say that no event will follow."""
        self.closed = True
        self.tell()

    def tell(self) -> None:
        """Let the readers know, at once and in turn, that there is more."""
        for more in self._readers:
            more()

    @contextmanager
    def read_by(self, more: Callable[[], None]) -> Iterator[None]:
        """Have a reader know of every growth, and of the end. What it does then, must not raise."""
        self._readers = (*self._readers, more)
        try:
            yield
        finally:
            self._readers = tuple(one for one in self._readers if one != more)
