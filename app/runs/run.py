"""One search under way, or ended and kept for a while: a log of events, and its readers.

Events are appended by one task, and numbered from 1 by their place in the list. A reader's cursor
is the number of events it has seen, so a reader that lags costs nothing and delays nobody.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from app.errors import OwnerLost, ServiceError, UpstreamProtocol
from app.models import Client, Event

EVENT_OVERHEAD_BYTES = 160  # Of memory beside its data, in CPython: two objects, a list slot.
LOST_END_NUMBER = 1_000_000_000
"""Number of a lost run's end. Readers may have seen more events than are left, but no log is as
long: who comes back with a smaller number has not had the end, and is told it."""


def new_id() -> str:
    """An id that nobody can guess: for anonymous callers it is the capability."""
    return f"srch_{secrets.token_hex(16)}"


def size_of(events: Sequence[Event]) -> int:
    """Memory that events take, in bytes."""
    return sum(EVENT_OVERHEAD_BYTES + len(event.data) for event in events)


@dataclass(eq=False)
class EventLog:
    """An append-only list of events that is closed once."""

    events: list[Event] = field(default_factory=list)
    size_bytes: int = 0  # Memory that they take.
    closed: bool = False
    grown_at: float = 0  # When the last ones were added, by the loop's clock.
    grown: asyncio.Event = field(default_factory=asyncio.Event)  # To wait for the next append.

    def append(self, events: Sequence[Event], size_bytes: int, *, close: bool = False) -> None:
        """Add events that take so much memory, `close` if they are the last; wake readers."""
        self.events += events
        self.size_bytes += size_bytes
        self.closed = close
        self.grown_at = asyncio.get_running_loop().time()
        self.grown.set()
        self.grown.clear()  # Who waits already is woken all the same.


@dataclass(eq=False, kw_only=True)
class Run:
    """A log and its readers."""

    id: str
    owner: Client
    fingerprint: str
    listed: bool  # Whether it can be found by its id.
    reserve: Callable[..., None]  # `Runs.reserve`: takes memory for events, in bytes.
    on_end: Callable[[Any], None] = lambda _: None  # Called once, after the last events.
    max_bytes: int = 0
    log: EventLog = field(default_factory=EventLog)
    cut: bool = False  # Whether readers here must reconnect to another replica, where it goes on.
    error: ServiceError | None = None
    resumable: bool = False
    background: bool = False  # Whether it goes on to its end although every reader leaves.
    left_in_background: int = 0  # How many requests have left it to itself.
    was_admitted: bool = False
    joined: bool = False  # Whether another request than the one that began it asked for it.
    readers: int = 0  # How many requests hold it.

    source = "memory"  # Where its events come from.

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._linger: asyncio.TimerHandle | None = None
        self._relayed = self._stopping = False
        self._finished = self._loop.create_future()

    @property
    def ended(self) -> bool:
        return self.log.closed

    @property
    def reusable(self) -> bool:
        """Whether an equal request may have this run's answer."""
        return self.error is None and not self._stopping

    @property
    def last_number(self) -> int:
        """Number of the last event, once it has ended."""
        return LOST_END_NUMBER if isinstance(self.error, OwnerLost) else len(self.log.events)

    async def cancel(self) -> bool:
        """Stop it unless other requests still want it too; whether it stops."""
        raise NotImplementedError

    async def admitted(self) -> None:
        """Wait until the work is admitted; raises the error if it was refused."""
        while not (self.was_admitted or self.ended):
            await self.log.grown.wait()
        if self.error and not self.was_admitted:
            raise self.error

    async def first_event(self, within_s: float | None) -> None:
        """Wait for the first upstream event, so long at most, and for the admission.

        Raises the error of a failure before that event, and within that time.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (self._relayed or self.ended):
                    await self.log.grown.wait()
            if self.error and not self._relayed:
                raise self.error
        await self.admitted()

    async def finished(self, within_s: float | None = None) -> None:
        """Wait until the last event is in the log, or so long."""
        await asyncio.wait({self._finished}, timeout=within_s)

    def read(self, *, resumable: bool, background: bool = False) -> "Reader":
        """Hold the run for one reader; `resumable` if it could come back after a break."""
        self.readers += 1
        self.resumable = self.resumable or resumable
        self.background = self.background or background
        if self._linger:
            self._linger.cancel()
        return Reader(self, background)

    def leave(self) -> None:
        self.readers -= 1

    def _append(self, events: Sequence[Event]) -> None:
        size_bytes = size_of(events)
        if 0 < self.max_bytes < self.log.size_bytes + size_bytes:
            raise UpstreamProtocol("The answer is larger than SEARCH_MAX_BYTES.")
        self.reserve(size_bytes)
        self._relayed = self._relayed or any(not event.is_synthetic for event in events)
        self.log.append(events, size_bytes)

    def _close(self, last: Sequence[Event]) -> None:
        if not self.ended:
            last_bytes = size_of(last)
            self.reserve(last_bytes, always=True)
            self.log.append(last, last_bytes, close=True)
            self.on_end(self)
            self._finished.set_result(None)


@dataclass(eq=False)
class Reader:
    """One request's hold on a run. Close it whichever way the request ends."""

    run: Run
    background: bool
    cache: Literal["miss", "coalesced", "hit"] = "hit"  # Started for it, joined, found finished.

    def close(self) -> None:
        """Let go, once."""
        self.run.left_in_background += self.background
        self.run.leave()
