"""How long one call is waited for: its time-outs by phase, on the running loop's clock."""

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

from app.errors import UpstreamTimeout

T = TypeVar("T")


class Patience:
    """The deadlines of one attempt, which begins now. Seconds; `0` switches one off.

    Each limit holds around a single await, never around a `yield`: a reader's slowness is not
    the upstream's, and a time-out must not strike in the reader's code.
    """

    def __init__(self, *, first_event_s: float, idle_s: float, total_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._idle_s = idle_s
        self._first_by = self._after(first_event_s)
        self._total_by = self._after(total_s)

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
        return await self._until(self._after(self._idle_s), "idle", work)

    def _after(self, seconds: float) -> float:
        return self._clock() + seconds if seconds else math.inf

    async def _until(self, when: float, phase: str, work: Awaitable[T]) -> T:
        if self._total_by < when:
            when, phase = self._total_by, "total"
        limit = asyncio.timeout_at(None if math.isinf(when) else when)
        try:
            async with limit:
                return await work
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise timed_out(UpstreamTimeout, phase) from exc


def timed_out(kind: type[UpstreamTimeout], phase: str) -> UpstreamTimeout:
    """The error of a phase: `connect`, `first event`, `idle` or `total`."""
    return kind(f"The upstream took longer than the {phase} time-out allows.")
