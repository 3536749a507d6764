"""The time-outs of one upstream call: until its first event, of silence, and in total."""

import asyncio
from math import inf
from types import TracebackType

from app.errors import Billed, UpstreamTimeout
from app.settings import Settings


class CallDeadlines:
    """The deadlines of one attempt, which begins now.

    `with deadlines:` bounds the wait inside. One timer serves them all, and is set anew only when
    it fires too early: an `asyncio.timeout` around each read costs more than decoding an event.

    Raises (at the end of the block):
        UpstreamTimeout: The wait was too long. The detail names the phase.
    """

    def __init__(self, settings: Settings, *, streamed: bool = True) -> None:
        """Without `streamed`, nothing is heard until the answer is complete."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        first_event_s = settings.upstream_first_event_timeout_s if streamed else 0
        self._first_by = now + (first_event_s or inf)
        self._idle_s = settings.upstream_idle_timeout_s or inf
        self._total_by = now + (settings.upstream_total_timeout_s or inf)
        self._phase = "first event"
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = self._due = inf
        self._expired = False

    def first_event(self) -> None:
        """The first event has come: from now on, silence is bounded."""
        self._phase = "idle"

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

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
        self._due = inf
        if self._expired and self._task:
            self._expired = False
            # A cancellation by somebody else goes on.
            if not self._task.uncancel() and kind is asyncio.CancelledError:
                raise timed_out(phase) from exc

    def _set_timer(self) -> None:
        self.close()
        self._fires_at = self._due
        self._timer = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._fires_at = inf
        if self._task and self._loop.time() >= self._due:
            self._expired = True
            self._task.cancel()
        elif self._due < inf:
            self._set_timer()


def timed_out(phase: str, *, billed: Billed = "maybe") -> UpstreamTimeout:
    """The error of a phase: `connect`, `first event`, `idle` or `total`."""
    return UpstreamTimeout(f"The upstream exceeded the {phase} time-out.", billed=billed)
