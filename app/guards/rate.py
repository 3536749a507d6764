"""How often each caller may ask: a token bucket each, in memory.

GCRA (the generic cell rate algorithm): one number a caller, the time at which its bucket is full
again. A full bucket holds `limit` requests, and refills evenly over the window.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import RateLimited
from app.models import Client
from app.setting_types import Rate

BUCKETS_MAX = 200_000
"""About 30 MB; beyond it the buckets longest unused are forgotten, and are full again."""

ROUNDING = 1e-6
"""Keeps errors of floating point from costing a request."""


@dataclass(frozen=True, slots=True)
class RateStatus:
    """A caller's bucket, in the terms of draft-ietf-httpapi-ratelimit-headers-10."""

    rate: Rate
    remaining: int
    reset_s: int
    """Seconds until the bucket is full again."""

    @property
    def policy_field(self) -> str:
        """Value of the `RateLimit-Policy` field."""
        return f'"default";q={self.rate.limit};w={self.rate.window_s}'

    @property
    def limit_field(self) -> str:
        """Value of the `RateLimit` field."""
        return f'"default";r={self.remaining};t={self.reset_s}'


class RateLimiter:
    """Counts requests by `Client.rate_limit_key`. `clock` gives seconds that never go back."""

    def __init__(self, rate: Rate | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def charge(self, client: Client) -> RateStatus | None:
        """Count one request; `None` when there is no limit.

        Raises:
            RateLimited: The bucket is empty; `retry_after_s` says when there is room again.
        """
        status = self.status(client)
        if status is None:
            return None
        limit, window_s = status.rate
        now, key = self._clock(), client.rate_limit_key
        full_at = max(self._full_at.get(key, now), now) + window_s / limit
        if not status.remaining:
            wait_s = math.ceil(full_at - now - window_s)
            raise RateLimited("Too many requests by this caller.", retry_after_s=wait_s)
        # Taken out and put in again: the dictionary is in the order of last use.
        self._full_at.pop(key, None)
        self._full_at[key] = full_at
        self._forget(now)
        return self.status(client)

    def status(self, client: Client) -> RateStatus | None:
        """What is left, without counting; `None` when there is no limit."""
        if self._rate is None:
            return None
        used_s = max(0.0, self._full_at.get(client.rate_limit_key, 0.0) - self._clock())
        used = math.ceil(used_s * self._rate.limit / self._rate.window_s - ROUNDING)
        return RateStatus(self._rate, max(0, self._rate.limit - used), math.ceil(used_s))

    def _forget(self, now: float) -> None:
        """Drop the buckets at the front that are full, and the first of too many."""
        while self._full_at:
            key = next(iter(self._full_at))
            if self._full_at[key] > now and len(self._full_at) <= BUCKETS_MAX:
                return
            del self._full_at[key]
