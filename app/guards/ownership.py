"""Which client got which upstream response: only that one may follow it up. In memory."""

import math
import time
from collections.abc import Callable
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
    """Owners of response ids, each for `ttl_s` seconds (0: without end) of `clock`."""

    def __init__(self, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s or math.inf
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def claim(self, response_id: str, owner: str, *, total_tokens: int) -> None:
        """Note who got a response first, and the tokens that a follow-up of it sends again."""
        self._forget()
        if len(response_id) <= ID_MAX_CHARS:
            new = _Entry(owner, self._clock() + self._ttl_s)
            entry = self._entries.setdefault(response_id, new)
            if entry.owner == owner:
                entry.total_tokens = total_tokens

    def check(self, response_id: str, owner: str) -> None:
        """Let only the owner pass.

        Raises:
            InvalidRequest: Unknown, expired, or another's: no difference is shown.
        """
        self._forget()
        entry = self._entries.get(response_id)
        if entry is None or entry.owner != owner:
            raise InvalidRequest.of("previous_response_id", "Unknown, or no longer kept.")

    def total_tokens(self, response_id: str | None) -> int:
        """Tokens that following this response up sends again; 0 when it is not known."""
        entry = self._entries.get(response_id) if response_id else None
        return entry.total_tokens if entry else 0

    def _forget(self) -> None:
        """Drop what has expired, and the oldest of too many; entries are in order of claim."""
        while self._entries:
            oldest = next(iter(self._entries))
            fits = len(self._entries) < ENTRIES_MAX
            if fits and self._entries[oldest].expires_at > self._clock():
                return
            del self._entries[oldest]
