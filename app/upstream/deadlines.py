"""The time-outs of one upstream call: until its first event, of silence, and in total."""

import asyncio
import math
from types import TracebackType

from app.errors import Billed, UpstreamTimeout


class CallDeadlines:
    """The deadlines of one attempt, which begins now. Seconds; `0` disables one.

    `with deadlines:` bounds the wait inside, which is for the first event until `first_event()`
    is called. There is one timer, set anew only when it fires too early: an `asyncio.timeout`
    around each read would cost more than reading and decoding an event.

    Raises (on leaving the block):
        UpstreamTimeout: The wait was too long. The detail names the phase.
    """

    __slots__ = (
        *("_loop", "_task", "_timer", "_fires_at", "_due", "_expired"),
        *("_first_by", "_idle_s", "_total_by", "_phase"),
    )

    def __init__(self, *, first_event_s: float, idle_s: float, total_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._first_by = now + (first_event_s or math.inf)
        self._idle_s = idle_s or math.inf
        self._total_by = now + (total_s or math.inf)
        self._phase = "first event"
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = self._due = math.inf
        self._expired = False

    def first_event(self) -> None:
        """The first event has come: from now on, silence is bounded."""
        self._phase = "idle"

    def __enter__(self) -> None:
        idle = self._phase == "idle"
        due = self._loop.time() + self._idle_s if idle else self._first_by
        self._due = min(due, self._total_by)
        self._task = asyncio.current_task()
        if self._due < self._fires_at:
            self._set_timer()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        phase = "total" if self._due == self._total_by else self._phase
        self._due = math.inf
        if self._expired and self._task:
            self._expired = False
            # A cancellation by somebody else goes on.
            if not self._task.uncancel() and kind is asyncio.CancelledError:
                raise timed_out(phase) from exc

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def _set_timer(self) -> None:
        self.close()
        self._fires_at = self._due
        self._timer = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._fires_at = math.inf
        if self._loop.time() < self._due:
            if self._due < math.inf:
                self._set_timer()
        elif self._task:
            self._expired = True
            self._task.cancel()


def timed_out(phase: str, *, billed: Billed = "maybe") -> UpstreamTimeout:
    """The error of a phase: `connect`, `first event`, `idle` or `total`."""
    return UpstreamTimeout(f"The upstream exceeded the {phase} time-out.", billed=billed)
