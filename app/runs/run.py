"""One search under way, or ended and kept for a while: a log and the one task that writes it.

A run outlives the request that began it. When its last reader has left, it goes on for a while
for one that may come back, then it is cancelled. It ends in one of three ways:

- its events are over;
- its events raise: it failed with that error;
- `stop()`: cancelled by its readers, or failed with the error that is handed in.

However it ends, `Work.conclude` makes the last events, and the log is closed behind them.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from app.errors import Internal, ServiceError, UpstreamProtocol
from app.models import Client, Event
from app.results import SearchResult
from app.runs.log import EventLog, size_of

logger = logging.getLogger("app.runs")

ID_BYTES = 16
"""128 random bits: for anonymous callers the id is the capability."""

TOO_LARGE = "The answer is larger than SEARCH_MAX_BYTES."


class Work(Protocol):
    """What a run does. It is handed in: the run knows nothing else of it."""

    def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yield events as they come, those that came together in one list.

        The first list, which may be empty, says that the work was admitted.
        """
        ...

    def progress(self) -> Event:
        """Make a sign of life for a silence."""
        ...

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """Make the last events, the terminal event included. Called once."""
        ...

    def result(self) -> SearchResult:
        """What has come so far or, after `conclude`, the final state."""
        ...


@dataclass(eq=False, kw_only=True)
class Run:
    """One piece of work, its log and its readers."""

    owner: Client
    fingerprint: str
    listed: bool
    """Whether it can be found by its id."""
    kept: bool
    """Whether it stays for a while when it has ended."""
    max_bytes: int
    linger_s: float
    reserve: Callable[[int], None]
    """Called with the bytes of events before they are stored; may raise `Overloaded`."""
    on_end: Callable[["Run", int], None]
    """Called once, after the last events, with their bytes."""
    id: str = field(default_factory=lambda: f"srch_{secrets.token_hex(ID_BYTES)}")
    keys: list[str] = field(default_factory=list)
    log: EventLog = field(default_factory=EventLog)
    error: ServiceError | None = None
    cancelled: bool = False
    resumable: bool = False
    was_admitted: bool = False
    opens: int = 0
    """How many requests asked for this run."""

    def __post_init__(self) -> None:
        self._readers = 0
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._relayed = False
        self._admitted = asyncio.Event()
        self._opened = asyncio.Event()
        self._finished = asyncio.Event()
        self._stopping = False
        self._stop_error: ServiceError | None = None

    def start(self, work: Work, *, progress_s: float) -> None:
        """Begin the work in a task, with a sign of life after `progress_s` of silence (0: none)."""
        self._work = work
        self._progress_s = progress_s
        self._task = asyncio.create_task(self._write(), name=self.id)
        # Not a `finally` in the task: one that is cancelled before its first step has none.
        self._task.add_done_callback(self._end)

    @property
    def ended(self) -> bool:
        """Whether the last event is in the log."""
        return self.log.closed

    @property
    def reusable(self) -> bool:
        """Whether an equal request may have this run's answer."""
        return self.error is None and not self._stopping

    @property
    def shared(self) -> bool:
        """Whether more than one of the requests that asked for it still read it.

        A reader that came back may still hold the connection that broke: that is one request.
        """
        return self._readers > 1 and self.opens > 1

    @property
    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._work.result()

    async def admitted(self) -> None:
        """Wait until the work is admitted.

        Raises:
            ServiceError: It was refused.
        """
        await self._admitted.wait()
        if self.error and not self.was_admitted:
            raise self.error

    async def opened(self, within_s: float) -> None:
        """Wait for the first upstream event, at most `within_s` seconds, and for the admission.

        Raises:
            ServiceError: It failed before that event came, and within that time.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._opened.wait()
        except TimeoutError:
            await self.admitted()
        else:
            if self.error and not self._relayed:
                raise self.error

    async def finished(self) -> None:
        """Wait until the last event is in the log."""
        await self._finished.wait()

    def read(self, *, resumable: bool) -> "Reader":
        """Hold the run for one reader; `resumable` if it could come back after a break."""
        self._readers += 1
        self.resumable = self.resumable or resumable
        self._cancel_linger()
        return Reader(self)

    def leave(self) -> None:
        """Let one reader go; the last one stops the run, after the linger if it may come back.

        A run that still waits for its admission is stopped at once.
        """
        self._readers -= 1
        if self._readers or self.ended:
            return
        if not (self.resumable and self.was_admitted):
            self.stop()
            return
        self._linger = self._loop.call_later(self.linger_s, self.stop)

    def stop(self, error: ServiceError | None = None) -> None:
        """End the work: as failed with `error`, or as cancelled. Nothing if it has ended."""
        if not self._stopping and not self._task.done():
            self._stopping = True
            self._stop_error = error
            self._task.cancel()

    async def _write(self) -> None:
        try:
            async with aclosing(self._work.events()) as batches:
                async for events in batches:
                    self._append(events)
                    self._heard_at = self._loop.time()
        except ServiceError as exc:
            self.error = exc
        except Exception:
            logger.exception("search failed with an unexpected error")
            self.error = Internal("An unexpected error occurred; it was logged.")

    def _append(self, events: Sequence[Event]) -> None:
        size_bytes = size_of(events)
        if 0 < self.max_bytes < self.log.size_bytes + size_bytes:
            raise UpstreamProtocol(TOO_LARGE)
        self.reserve(size_bytes)
        self.log.append(events, size_bytes)
        if not self._relayed:
            self._note_stage(events)

    def _note_stage(self, events: Sequence[Event]) -> None:
        if not self.was_admitted:
            self.was_admitted = True
            self._admitted.set()
            self._heard_at = self._loop.time()
            self._watch_silence()
        if any(not event.is_synthetic for event in events):
            self._relayed = True
            self._opened.set()

    def _watch_silence(self) -> None:
        """Set the timer of a sign of life: one timer in all, since events come by the thousand."""
        if self._progress_s and not self.ended:
            self._silence = self._loop.call_at(self._heard_at + self._progress_s, self._on_timer)

    def _on_timer(self) -> None:
        now = self._loop.time()
        if now >= self._heard_at + self._progress_s:
            self._heard_at = now
            try:
                self._append([self._work.progress()])
            except ServiceError as exc:
                self.stop(exc)
        self._watch_silence()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._cancel_linger()
        if self._silence:
            self._silence.cancel()
        if task.cancelled():
            self.error = self._stop_error
            self.cancelled = self.error is None
        last = self._conclude()
        last_bytes = size_of(last)
        self.log.append(last, last_bytes)
        self.log.close()
        self.on_end(self, last_bytes)
        for stage in (self._admitted, self._opened, self._finished):
            stage.set()

    def _conclude(self) -> list[Event]:
        try:
            return self._work.conclude(self.error, cancelled=self.cancelled)
        except Exception:
            # The log has to be closed all the same, or its readers wait for ever.
            logger.exception("the last events could not be made")
            self.error = Internal("An unexpected error occurred; it was logged.")
            return []

    def _cancel_linger(self) -> None:
        if self._linger:
            self._linger.cancel()
            self._linger = None


class Reader:
    """One request's hold on a run. Close it whichever way the request ends."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._open = True

    def close(self) -> None:
        """Let go; more than once does no harm."""
        if self._open:
            self._open = False
            self.run.leave()
