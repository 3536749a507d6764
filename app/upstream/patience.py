"""How long one call is waited for: its time-outs by phase, on the running loop's clock."""

import asyncio
import math
from collections.abc import Awaitable
from typing import Self, TypeVar

from app.errors import UpstreamTimeout

T = TypeVar("T")


class Patience:
    """The deadlines of one attempt, which begins now. Seconds; `0` switches one off.

    Each limit holds around a single await, never around a `yield`: a reader's slowness is not
    the upstream's, and a time-out must not strike in the reader's code. The awaits are all of
    the task that made it, which leaves it with `async with`.

    One timer serves a whole attempt, and is put off when it rings too early: an `asyncio.timeout`
    around each read cost more than decoding, logging and framing the event that it brought.
    """

    def __init__(self, *, first_event_s: float, idle_s: float, total_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._idle_s = idle_s or math.inf
        self._first_by = self._loop.time() + (first_event_s or math.inf)
        self._total_by = self._loop.time() + (total_s or math.inf)
        self._due = math.inf
        self._phase = ""
        self._waiting = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    async def first(self, work: Awaitable[T]) -> T:
        """Await something on the way to the first event: sending, headers, comments.

        Raises:
            UpstreamTimeout: Its detail names the phase, `first event` or `total`.
        """
        return await self._until(self._first_by, "first event", work)

    async def idle(self, work: Awaitable[T]) -> T:
        """Await more of an answer that has begun.

        Raises:
            UpstreamTimeout: Its detail names the phase, `idle` or `total`.
        """
        return await self._until(self._loop.time() + self._idle_s, "idle", work)

    async def _until(self, due: float, phase: str, work: Awaitable[T]) -> T:
        self._due, self._phase = min((due, phase), (self._total_by, "total"))
        if self._due < self._rings_at:
            self._wind(self._due)
        self._waiting = True
        try:
            return await work
        except asyncio.CancelledError as exc:
            # Somebody else's cancellation, alone or beside ours, goes on its way.
            if not self._expired or (self._task and self._task.uncancel()):
                raise
            raise timed_out(UpstreamTimeout, self._phase) from exc
        finally:
            self._waiting = False

    def _wind(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._rings_at = math.inf
        if not self._waiting:
            return
        if self._loop.time() < self._due < math.inf:
            self._wind(self._due)
        elif self._task and self._loop.time() >= self._due:
            self._expired = True
            self._task.cancel()


def timed_out(kind: type[UpstreamTimeout], phase: str) -> UpstreamTimeout:
    """The error of a phase: `connect`, `first event`, `idle` or `total`."""
    return kind(f"The upstream took longer than the {phase} time-out allows.")
