"""One search under way, or ended and kept for a while: a log and the one task that writes it.

A run outlives the request that began it. When its last reader has left, it goes on for a while
for one that may come back, then it is cancelled. It ends when its events are over, when they raise
(it failed with that error), or by `stop()`. However it ends, `Work.conclude` makes the last events,
and the log is closed with them.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app.errors import ServiceError, UpstreamProtocol, unexpected
from app.models import Client, Event
from app.results import SearchResult
from app.runs.log import EventLog, size_of

logger = logging.getLogger("app.runs")

ID_BYTES = 16
"""128 random bits: for anonymous callers the id is the capability."""

Commit = Callable[[list[Event]], Awaitable[None]]

TOO_LARGE = "The answer is larger than SEARCH_MAX_BYTES."


def new_id() -> str:
    """An id that nobody can guess."""
    return f"srch_{secrets.token_hex(ID_BYTES)}"


class Work(Protocol):
    """What a run does; the run knows nothing else of it.

    `events` yields events as they come: the first list, which may be empty, means admission.
    `progress` makes a sign of life for a silence. `conclude` makes the last events, with the
    terminal one; where that fails, `forget` drops what has come, and it is called again. `result`
    is what has come so far or, after `conclude`, the final state.
    """

    def events(self) -> AsyncGenerator[Sequence[Event], None]: ...
    def progress(self) -> Event: ...
    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]: ...
    def forget(self) -> None: ...
    def result(self) -> SearchResult: ...


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
    progress_s: float
    """Silence after which it gives a sign of life; 0: never."""
    reserve: Callable[[int], None]
    """Called with the bytes of events before they are stored; may raise `Overloaded`."""
    ending: asyncio.Semaphore
    """Shared by all runs, so that few end in one turn of the event loop."""
    on_end: Callable[["Run", int], None]
    """Called once, after the last events, with their bytes."""
    id: str = field(default_factory=new_id)
    log: EventLog = field(default_factory=EventLog)
    commit: Commit | None = None
    """Awaited with the last events before readers see them, where there are replicas."""
    source: Literal["memory", "redis"] = "memory"
    """Where its events come from."""
    cut: bool = False
    """Whether its readers here are to come back elsewhere, where it goes on."""
    error: ServiceError | None = None
    resumable: bool = False
    background: bool = False
    """Whether it goes on to its end although every reader leaves."""
    left_in_background: int = 0
    """How many requests have left it to itself."""
    was_admitted: bool = False
    opens: int = 0
    """How many requests asked for this run."""
    readers: int = 0
    """How many requests hold it."""

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._relayed = self._stopping = self._over = False
        self._stop_error: ServiceError | None = None
        self._finished = self._loop.create_future()

    def start(self, work: Work) -> None:
        """Begin the work in a task."""
        self._work = work
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

        A reader that came back may still hold the connection that broke: that is one request. One
        in the background counts although its reader has left.
        """
        return self.readers + self.left_in_background > 1 and self.opens > 1

    @property
    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._work.result()

    async def admitted(self) -> None:
        """Wait until the work is admitted; raises the error if it was refused."""
        while not (self.was_admitted or self.ended):
            await self.log.growth()
        if self.error and not self.was_admitted:
            raise self.error

    async def first_event(self, within_s: float | None) -> None:
        """Wait for the first upstream event, `within_s` seconds at most, and for the admission.

        Raises the error if it failed before that event came, and within that time.
        """
        try:
            async with asyncio.timeout(within_s):
                while not (self._relayed or self.ended):
                    await self.log.growth()
        except TimeoutError:
            await self.admitted()
        else:
            if self.error and not self._relayed:
                raise self.error

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
        return Reader(self, background=background)

    def leave(self) -> None:
        """Let one reader go; the last one stops the run, after the linger if it may come back.

        A run that still waits for its admission is stopped at once.
        """
        self.readers -= 1
        goes_on = self.background and self.was_admitted
        if not (self.readers or self.ended or goes_on):
            wait_s = self.linger_s if self.resumable and self.was_admitted else 0
            self._linger = self._loop.call_later(wait_s, self.stop)

    def stop(self, error: ServiceError | None = None) -> None:
        """End the work: as failed with `error`, or as cancelled. Nothing if it has ended."""
        if not (self._stopping or self._over or self._task.done()):
            self._stopping, self._stop_error = True, error
            self._task.cancel()

    async def _write(self) -> None:
        try:
            async with aclosing(self._work.events()) as batches:
                async for events in batches:
                    self._append(events)
                    if not self.was_admitted:
                        self.was_admitted = True
                        self._watch_silence()
            self._over = True
            # A sum takes longer than many deltas: where hundreds end at once, readers of the others
            # get their next events meanwhile.
            async with self.ending:
                await asyncio.sleep(0)
        except ServiceError as exc:
            self.error = exc
        except Exception as exc:
            logger.exception("search failed with an unexpected error")
            self.error = unexpected(exc)

    def _append(self, events: Sequence[Event]) -> None:
        size_bytes = size_of(events)
        if 0 < self.max_bytes < self.log.size_bytes + size_bytes:
            raise UpstreamProtocol(TOO_LARGE)
        self.reserve(size_bytes)
        self._relayed = self._relayed or any(not event.is_synthetic for event in events)
        self._heard_at = self._loop.time()
        self.log.append(events, size_bytes)

    def _watch_silence(self) -> None:
        """Give a sign of life if it is due, and set the one timer: events come by the thousand."""
        if not self.progress_s or self.ended:
            return
        try:
            if self._loop.time() >= self._heard_at + self.progress_s:
                self._append([self._work.progress()])
        except ServiceError as exc:
            self.stop(exc)
        else:
            due_at = self._heard_at + self.progress_s
            self._silence = self._loop.call_at(due_at, self._watch_silence)

    def _end(self, task: asyncio.Task[None]) -> None:
        for timer in (self._linger, self._silence):
            if timer:
                timer.cancel()
        if task.cancelled() and not self.ended:
            self.error = self._stop_error
        last = self._last_events(cancelled=task.cancelled() and self.error is None)
        if self.commit:
            self._committing = asyncio.create_task(self._commit(self.commit, last))
        else:
            self._close(last)

    async def _commit(self, commit: Commit, last: list[Event]) -> None:
        try:
            await commit(last)
        finally:
            self._close(last)

    def _close(self, last: Sequence[Event]) -> None:
        if self.ended:
            return
        last_bytes = size_of(last)
        self.log.append(last, last_bytes, close=True)
        self.on_end(self, last_bytes)
        self._finished.set_result(None)

    def adopt(self, seen: int, last: Sequence[Event], error: ServiceError) -> None:
        """Take over the end that a replica wrote behind event `seen` while this one was away."""
        self.error, self.log.lost = error, True
        del self.log.events[seen:]
        if self.ended:
            self.log.events += last
            self._work.conclude(error, cancelled=False)
        else:
            self._close(last)
            self._task.cancel()

    def _last_events(self, *, cancelled: bool) -> list[Event]:
        try:
            return self._work.conclude(self.error, cancelled=cancelled)
        except Exception as exc:
            # Readers wait for a terminal event, whatever happens.
            logger.exception("the last events could not be made")
            self.error = unexpected(exc)
            self._work.forget()
            return self._work.conclude(self.error, cancelled=False)


class Reader:
    """One request's hold on a run. Close it whichever way the request ends."""

    def __init__(self, run: Run, *, background: bool) -> None:
        self.run = run
        self.background = background
        self._open = True

    def close(self) -> None:
        """Let go; more than once does no harm."""
        if self._open:
            self._open = False
            self.run.left_in_background += self.background
            self.run.leave()
