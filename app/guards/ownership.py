"""Which client got which upstream response: only that one may follow it up.

In memory; where there are replicas also in Redis, of which what was asked for is known here too.
"""

import asyncio
from dataclasses import dataclass

from app.errors import InvalidRequest
from app.store.redis_client import RedisClient

ENTRIES_MAX = 200_000  # About 60 MB; beyond it the oldest cannot be followed up any more.
ID_MAX_CHARS = 128  # The bound of a request's `previous_response_id`; documented ids have some 40.
FOREVER_S = 3_153_600_000  # A hundred years; Redis takes no `inf`.


@dataclass(slots=True)
class Owned:
    owner: str
    expires_at: float
    total_tokens: int = 0


class Ownership:
    """Owners of response ids, each for `ttl_s` seconds (0: without end)."""

    def __init__(self, ttl_s: float, redis: RedisClient | None) -> None:
        self._ttl_s, self._redis = ttl_s or FOREVER_S, redis
        self._owned: dict[str, Owned] = {}

    def claim(self, response_id: str, owner: str, *, total_tokens: int) -> None:
        """Note who got a response first, and the tokens that a follow-up of it sends again."""
        if len(response_id) <= ID_MAX_CHARS:
            self._note(response_id, owner, total_tokens)
            if self._redis:
                self._redis.post("own", response_id, owner, total_tokens, int(self._ttl_s))

    async def check(self, response_id: str, owner: str) -> None:
        """Raise `InvalidRequest` if unknown, expired, or another's; `RedisDown` without Redis."""
        known = self._find(response_id)
        if self._redis and not known:
            key = f"isp:resp:{response_id}"
            name, tokens = await self._redis.call("HMGET", key, "owner", "tokens")
            known = self._note(response_id, name.decode(), int(tokens)) if name else None
        if not known or known.owner != owner:
            raise InvalidRequest.of("previous_response_id", "Unknown, or no longer kept.")

    def total_tokens(self, response_id: str | None) -> int:
        """Tokens that following this response up sends again; 0 when it is not known."""
        known = self._find(response_id or "")
        return known.total_tokens if known else 0

    def _note(self, response_id: str, owner: str, total_tokens: int) -> Owned:
        if not (known := self._find(response_id)):
            expires_at = asyncio.get_running_loop().time() + self._ttl_s
            known = self._owned[response_id] = Owned(owner, expires_at)
        if known.owner == owner:
            known.total_tokens = total_tokens
        if len(self._owned) > ENTRIES_MAX:
            del self._owned[next(iter(self._owned))]
        return known

    def _find(self, response_id: str) -> Owned | None:
        known = self._owned.get(response_id)
        now = asyncio.get_running_loop().time()
        return known if known and known.expires_at > now else None
