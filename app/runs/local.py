"""A run whose work is done in this process.

It outlives the request that began it, and ends when its events are over, when they raise (it failed
with that error), or by `stop()`. However it ends, `Work.conclude` makes the last events.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from app.errors import ServiceError, unexpected
from app.models import Client, Event, Permit
from app.runs.run import EventLog, Run

logger = logging.getLogger("app.runs")


class Work(Protocol):
    """What a run does; the run knows nothing else of it.

    The first list of `events`, which may be empty, means admission, with a `permit`. `progress` is
    a sign of life for a silence. `conclude` makes the last events; where that fails, `forget` drops
    what has come after the first event, and it is called again.
    """

    permit: Permit | None

    def events(self) -> AsyncGenerator[Sequence[Event], None]: ...
    def progress(self) -> Event: ...
    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]: ...
    def forget(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """What a request wants of `Runs.open`."""

    owner: Client
    fingerprint: str  # Equal for requests of one owner that may share one answer.
    start: Callable[[str, EventLog], Work]  # Makes the work of a new run, given its id and log.
    key: str | None = None  # The `Idempotency-Key`.
    fresh: bool = False  # Not answered by a finished run; one under way is joined.
    resumable: bool = True  # Whether the reader could come back after a break.
    background: bool = False  # Whether the run needs no reader.
    progress_s: float = 0  # Silence after which a new run gives a sign of life; 0: never.
    listed: bool = True  # Whether a new run can be found by its id.


@dataclass(eq=False, kw_only=True)
class LocalRun(Run):
    """A run whose work is done here, in one task."""

    request: OpenRequest  # The one that began it.
    linger_s: float
    ending: asyncio.Semaphore  # Shared by all, so that few end in one turn of the event loop.

    def __post_init__(self) -> None:
        super().__post_init__()
        self._silence: asyncio.TimerHandle | None = None
        self._over = False
        self.work = self.request.start(self.id, self.log)
        self._task = asyncio.create_task(self._write(), name=self.id)
        # Not a `finally` in the task: one that is cancelled before its first step has none.
        self._task.add_done_callback(self._end)

    @property
    def kept(self) -> bool:
        """Whether it stays for a while when it has ended: somebody may come back for it."""
        may_come_back = self.listed or self.background or self.request.key is not None
        return may_come_back and self.was_admitted

    def leave(self) -> None:
        """Let one reader go; the last one stops the run, later if admitted and it may come back."""
        super().leave()
        if not (self.readers or self.ended or (self.background and self.was_admitted)):
            wait_s = self.linger_s if self.resumable and self.was_admitted else 0
            self._linger = self._loop.call_later(wait_s, self.stop)

    def stop(self, error: ServiceError | None = None) -> None:
        """End it: as failed with `error`, or as cancelled. Nothing if it has ended."""
        if not (self._stopping or self._over or self._task.done()):
            self._stopping, self.error = True, error
            self._task.cancel()

    async def cancel(self) -> bool:
        # A reader that came back may still hold the connection that broke: that is one request.
        if self.joined and self.readers + self.left_in_background > 1:
            self.left_in_background = max(0, self.left_in_background - 1)
            return False
        self.stop()
        return True

    async def _write(self) -> None:
        try:
            async with aclosing(self.work.events()) as batches:
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

    def _watch_silence(self) -> None:
        """Give a sign of life if it is due, and set the one timer: events come by the thousand."""
        silence_s = self.request.progress_s
        if not silence_s or self.ended:
            return
        try:
            if self._loop.time() >= self.log.grown_at + silence_s:
                self._append([self.work.progress()])
        except ServiceError as exc:
            self.stop(exc)
        else:
            self._silence = self._loop.call_at(self.log.grown_at + silence_s, self._watch_silence)

    def _end(self, task: asyncio.Task[None]) -> None:
        for timer in (self._linger, self._silence):
            if timer:
                timer.cancel()
        try:
            cancelled = task.cancelled() and self.error is None
            last = self.work.conclude(self.error, cancelled=cancelled)
        except Exception as exc:  # Readers wait for a terminal event, whatever happens.
            logger.exception("the last events could not be made")
            self.error = unexpected(exc)
            self.work.forget()
            last = self.work.conclude(self.error, cancelled=False)
        self._close(last)
