"""Whether to call the upstream once more, and when. Pure: no clock, no chance of its own.

Only what cannot have been billed is tried again: a request that was never written, or one that
the upstream says it did not serve. Whoever asks makes sure that no event was given out before.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.errors import ServiceError, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable

BASE_S = 0.5
BURST_BASE_S = 2.0
"""Throttling by burst rate asks for a slower ramp, not only for a pause."""
CAP_S = 8.0
"""The longest pause of our own making; the official SDKs' value."""


class ConnectFailed(UpstreamUnavailable):
    """No connection came about (refused, no address, TLS): nothing was sent."""


class ConnectTimeout(UpstreamTimeout):
    """No connection came about in time: nothing was sent."""

    may_be_billed = False


UNSERVED = (ConnectFailed, ConnectTimeout, UpstreamRateLimited)


@dataclass(frozen=True, slots=True)
class Retry:
    """One more try: which attempt failed (from 1), the pause, the time since the first began."""

    attempt: int
    wait_s: float
    elapsed_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `retries` more tries, none later than `total_s` after the start (0: no limit)."""

    retries: int
    total_s: float

    def wait_s(
        self, error: ServiceError, *, attempt: int, elapsed_s: float, random: Callable[[], float]
    ) -> float | None:
        """Seconds until the next try after `attempt` (from 1) failed so; `None` to give up.

        `random` gives a number in [0, 1): half of every pause of ours is chance, so that many
        callers do not come back at once. A `Retry-After` is the least wait.
        """
        if attempt > self.retries or not isinstance(error, UNSERVED):
            return None
        base_s = BURST_BASE_S if _is_burst(error) else BASE_S
        pause_s = min(base_s * 2.0 ** (attempt - 1), CAP_S) * (0.5 + random() / 2)
        wait_s = max(pause_s, error.retry_after_s or 0)
        if self.total_s and elapsed_s + wait_s > self.total_s:
            return None
        return wait_s


def _is_burst(error: ServiceError) -> bool:
    """`Throttling.BurstRate`, in chat-compatible bodies `limit_burst_rate`."""
    code = (error.upstream and error.upstream.code) or ""
    return "burstrate" in code.lower().replace("_", "")
