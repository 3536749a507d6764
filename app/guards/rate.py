"""How often each caller may ask: a token bucket each, in memory.

GCRA (the generic cell rate algorithm): one number a caller, the time at which its bucket is full
again. A full bucket holds `limit` requests, and refills evenly over the window.
"""

import asyncio
import math
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
    """What is left of a caller's bucket, as draft-ietf-httpapi-ratelimit-headers-10 writes it."""

    remaining: int
    limit_field: str
    """Value of `RateLimit`; its `t` counts the seconds until the bucket is full again."""
    policy_field: str
    """Value of `RateLimit-Policy`."""


class RateLimiter:
    """Counts requests by `Client.rate_limit_key`."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._full_at: dict[str, float] = {}

    def charge(self, client: Client) -> RateStatus | None:
        """Count one request; `None` when there is no limit.

        Raises `RateLimited` if the bucket is empty; `retry_after_s` says when there is room again.
        """
        if self._rate is None or (status := self.status(client)) is None:
            return None
        now, key = asyncio.get_running_loop().time(), client.rate_limit_key
        full_at = max(self._full_at.get(key, now), now) + self._rate.window_s / self._rate.limit
        if not status.remaining:
            # At least 1: there may be room since a moment ago.
            wait_s = max(1, math.ceil(full_at - now - self._rate.window_s))
            raise RateLimited("Too many requests by this caller.", retry_after_s=wait_s)
        # Taken out and put in again: the dictionary is in the order of last use.
        self._full_at.pop(key, None)
        self._full_at[key] = full_at
        if len(self._full_at) > BUCKETS_MAX:
            del self._full_at[next(iter(self._full_at))]
        return self.status(client)

    def status(self, client: Client) -> RateStatus | None:
        """What is left, without counting; `None` when there is no limit."""
        if self._rate is None:
            return None
        limit, window_s = self._rate
        used_s = max(
            0.0, self._full_at.get(client.rate_limit_key, 0.0) - asyncio.get_running_loop().time()
        )
        remaining = max(0, limit - math.ceil(used_s * limit / window_s - ROUNDING))
        return RateStatus(
            remaining,
            limit_field=f'"default";r={remaining};t={math.ceil(used_s)}',
            policy_field=f'"default";q={limit};w={window_s}',
        )
