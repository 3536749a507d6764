"""How often each caller may ask: a token bucket each, in memory.

GCRA (the generic cell rate algorithm): one number a caller, the time at which its bucket is full
again. A full bucket holds `limit` requests, and refills evenly over the window.
"""

import asyncio
import math
from dataclasses import dataclass

from app.models import Client
from app.setting_types import Rate

BUCKETS_MAX = 200_000
"""About 30 MB; beyond it the buckets longest unused are forgotten, and are full again."""

ROUNDING = 1e-6
"""Keeps errors of floating point from costing a request."""


@dataclass(frozen=True, slots=True)
class RateStatus:
    """A caller's bucket, as draft-ietf-httpapi-ratelimit-headers-10 writes it."""

    limit_field: str
    """Value of `RateLimit`; its `t` counts the seconds until the bucket is full again."""
    policy_field: str
    """Value of `RateLimit-Policy`."""
    retry_after_s: int | None = None
    """Seconds until there is room, where the request was one too many."""


class RateLimiter:
    """Counts requests by `Client.rate_limit_key`."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._full_at: dict[str, float] = {}

    async def charge(self, client: Client) -> RateStatus | None:
        """Count one request, unless the bucket is empty; `None` when there is no limit."""
        if self._rate is None:
            return None
        limit, window_s = self._rate
        now, key = asyncio.get_running_loop().time(), client.rate_limit_key
        used_s, step_s = max(0.0, self._full_at.get(key, now) - now), window_s / limit
        if used_s + step_s - window_s > ROUNDING * step_s:
            return self._refusal(used_s, self._rate)
        # Taken out and put in again: the dictionary is in the order of last use.
        self._full_at.pop(key, None)
        self._full_at[key] = now + used_s + step_s
        if len(self._full_at) > BUCKETS_MAX:
            del self._full_at[next(iter(self._full_at))]
        return self._status(used_s + step_s)

    def _refusal(self, used_s: float, rate: Rate) -> RateStatus:
        over_s = used_s + rate.window_s / rate.limit - rate.window_s
        # At least 1: there may be room in a moment.
        return self._status(used_s, retry_after_s=max(1, math.ceil(over_s)))

    def _status(self, used_s: float, retry_after_s: int | None = None) -> RateStatus:
        limit, window_s = self._rate or Rate(0, 1)
        remaining = max(0, limit - math.ceil(used_s * limit / window_s - ROUNDING))
        return RateStatus(
            limit_field=f'"default";r={remaining};t={math.ceil(used_s)}',
            policy_field=f'"default";q={limit};w={window_s}',
            retry_after_s=retry_after_s,
        )
