"""Which client got which upstream response: only that one may follow it up. In memory."""

import asyncio
import math
from dataclasses import dataclass

from app.errors import InvalidRequest

ENTRIES_MAX = 200_000
"""About 60 MB; beyond it the oldest are forgotten, and cannot be followed up any more."""

ID_MAX_CHARS = 128
"""As long as a request's `previous_response_id` may be; documented ids have some 40."""


@dataclass(slots=True)
class _Entry:
    owner: str
    expires_at: float
    total_tokens: int = 0


class Ownership:
    """Owners of response ids, each for `ttl_s` seconds (0: without end)."""

    def __init__(self, *, ttl_s: float) -> None:
        self._ttl_s = ttl_s or math.inf
        self._entries: dict[str, _Entry] = {}

    def claim(self, response_id: str, owner: str, *, total_tokens: int) -> None:
        """Note who got a response first, and the tokens that a follow-up of it sends again."""
        if len(response_id) > ID_MAX_CHARS:
            return
        entry = self._known(response_id)
        if entry is None:
            entry = self._entries[response_id] = _Entry(
                owner, asyncio.get_running_loop().time() + self._ttl_s
            )
        if entry.owner == owner:
            entry.total_tokens = total_tokens
        if len(self._entries) > ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]

    async def check(self, response_id: str, owner: str) -> None:
        """Raise `InvalidRequest` if unknown, expired, or another's: no difference is shown."""
        entry = self._known(response_id)
        if entry is None or entry.owner != owner:
            raise InvalidRequest.of("previous_response_id", "Unknown, or no longer kept.")

    def knows(self, response_id: str) -> bool:
        """Whether this process knows the response's owner."""
        return self._known(response_id) is not None

    def total_tokens(self, response_id: str | None) -> int:
        """Tokens that following this response up sends again; 0 when it is not known."""
        entry = self._known(response_id or "")
        return entry.total_tokens if entry else 0

    def _known(self, response_id: str) -> _Entry | None:
        entry = self._entries.get(response_id)
        if entry and entry.expires_at <= asyncio.get_running_loop().time():
            del self._entries[response_id]
            return None
        return entry
