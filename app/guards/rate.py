"""How often each caller may ask: a token bucket each, over all replicas where there are some.

GCRA (the generic cell rate algorithm): one number a caller, the time at which its bucket is full
again. A full bucket holds `limit` requests, and refills evenly over the window.
"""

import asyncio
import math
from contextlib import suppress

from app.models import Client
from app.store.redis_client import RedisClient, RedisDown

BUCKETS_MAX = 200_000  # About 30 MB; beyond it the buckets longest unused are full again.
ROUNDING = 1e-6  # Keeps errors of floating point from costing a request.


class RateLimiter:
    """Counts requests by `Client.rate_limit_key`: in Redis or, while it is down, here alone."""

    def __init__(self, rate: tuple[int, int] | None, redis: RedisClient | None) -> None:
        self._rate, self._redis = rate, redis
        self._full_at: dict[str, float] = {}

    async def charge(self, client: Client) -> tuple[dict[str, str], int | None]:
        """Count one request, unless the bucket is empty: then returns also after what wait."""
        if self._rate is None:
            return {}, None
        limit, window_s = self._rate
        has_room, used_s = await self._take(client.rate_limit_key, limit, window_s)
        remaining = max(0, limit - math.ceil(used_s * limit / window_s - ROUNDING))
        fields = {  # As in draft-ietf-httpapi-ratelimit-headers-10; `t` is until it is full.
            "RateLimit": f'"default";r={remaining};t={math.ceil(used_s)}',
            "RateLimit-Policy": f'"default";q={limit};w={window_s}',
        }
        # At least 1: there may be room in a moment.
        wait_s = max(1, math.ceil(used_s + window_s / limit - window_s))
        return fields, None if has_room else wait_s

    async def _take(self, key: str, limit: int, window_s: int) -> tuple[bool, float]:
        """Count a request if there is room; then the seconds until the bucket is full again."""
        step_s = window_s / limit
        if self._redis:
            with suppress(RedisDown):
                args = (key, step_s * 1_000, window_s * 1_000)
                has_room, used_ms = await self._redis.script("rate", *args)
                return bool(has_room), float(used_ms) / 1_000
        now = asyncio.get_running_loop().time()
        used_s = max(0.0, self._full_at.get(key, now) - now)
        if used_s + step_s - window_s > ROUNDING * step_s:
            return False, used_s
        # Taken out and put in again: the dictionary is in the order of last use.
        self._full_at.pop(key, None)
        self._full_at[key] = now + used_s + step_s
        if len(self._full_at) > BUCKETS_MAX:
            del self._full_at[next(iter(self._full_at))]
        return True, used_s + step_s
