"""How long one call is waited for: its time-outs by phase, on the running loop's clock."""

import asyncio
import math
from types import TracebackType
from typing import Self

from app.errors import UpstreamTimeout


class Patience:
    """The deadlines of one attempt, which begins now. Seconds; `0` switches one off.

    `with patience.first():` bounds the waiting inside, and `idle()` in there begins the next wait;
    all of it in the task that made it. `close()` it at the end of the attempt.

    One timer serves a whole attempt, and is put off when it rings too early: an `asyncio.timeout`
    around each read cost more than decoding, logging and framing the event that it brought.
    """

    __slots__ = (
        *("_loop", "_task", "_timer", "_rings_at", "_due", "_phase", "_expired"),
        *("_first_by", "_idle_s", "_total_by"),
    )

    def __init__(self, *, first_event_s: float, idle_s: float, total_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._idle_s = idle_s or math.inf
        self._first_by = self._loop.time() + (first_event_s or math.inf)
        self._total_by = self._loop.time() + (total_s or math.inf)
        self._due = math.inf
        self._phase = ""
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def first(self) -> Self:
        """Wait for something on the way to the first event: sending, headers, comments."""
        return self._until(self._first_by, "first event")

    def idle(self) -> Self:
        """Wait for more of an answer that has begun."""
        due = self._loop.time() + self._idle_s
        if due < self._rings_at or due > self._total_by:
            return self._until(due, "idle")
        # As `_until` would, for every event of an answer.
        self._due, self._phase = due, "idle"
        return self

    def __enter__(self) -> None:
        """Begin to wait, for what `first` or `idle` said."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop waiting.

        Raises:
            UpstreamTimeout: It was too long; the detail names the phase, `first event`, `idle` or
                `total`.
        """
        self._due = math.inf
        if not self._expired:
            return
        self._expired = False
        others = self._task.uncancel() if self._task else 0
        # Somebody else's cancellation, beside ours, goes on its way.
        if kind is asyncio.CancelledError and not others:
            raise timed_out(UpstreamTimeout, self._phase) from exc

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer:
            self._timer.cancel()

    def _until(self, due: float, phase: str) -> Self:
        if due > self._total_by:
            due, phase = self._total_by, "total"
        self._due, self._phase = due, phase
        if due < self._rings_at:
            self._wind(due)
        return self

    def _wind(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._rings_at = math.inf
        if self._loop.time() < self._due:
            if self._due < math.inf:
                self._wind(self._due)
        elif self._task:
            self._expired = True
            self._task.cancel()


def timed_out(kind: type[UpstreamTimeout], phase: str) -> UpstreamTimeout:
    """The error of a phase: `connect`, `first event`, `idle` or `total`."""
    return kind(f"The upstream took longer than the {phase} time-out allows.")
