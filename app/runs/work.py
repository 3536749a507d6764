"""What a run is handed: work to do, and who accounts for the memory that its events take."""

from collections.abc import Sequence
from typing import Protocol

from app.errors import ServiceError
from app.models import Emit, Event, SearchResult


class Work(Protocol):
    """What a run does, and how it speaks of it. Handed in; the run knows no more of it."""

    async def run(self, emit: Emit) -> None:
        """Do it, emitting events as they come; the first says that the work was admitted."""

    def progress(self, events: Sequence[Event], elapsed_s: float) -> Event:
        """Make a sign of life for a silence."""
        ...

    def conclude(
        self, events: Sequence[Event], *, error: ServiceError | None, cancelled: bool
    ) -> list[Event]:
        """Say the last words, ending with the one terminal event. Called once."""
        ...

    def result(self, events: Sequence[Event]) -> SearchResult:
        """Sum up what has come so far, or, after `conclude`, how it ended."""
        ...


class Grow(Protocol):
    """Accounts for the bytes of an event; where `bounded`, it may raise `Overloaded`."""

    def __call__(self, size_bytes: int, *, bounded: bool) -> None: ...
