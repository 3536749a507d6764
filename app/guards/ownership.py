"""Which client got which upstream response: only that one may follow it up. In memory."""

import math
from collections import OrderedDict
from collections.abc import Callable

from app.errors import FieldError, InvalidRequest

ENTRIES_MAX = 200_000
"""About 60 MB; beyond it the oldest are forgotten, and cannot be followed up any more."""

ID_MAX_CHARS = 128
"""As long as a request's `previous_response_id` may be; documented ids have some 40."""


class Ownership:
    """Owners of response ids, each for `ttl_s` seconds (0: without end) of `clock`."""

    def __init__(
        self, *, ttl_s: float, clock: Callable[[], float], max_entries: int = ENTRIES_MAX
    ) -> None:
        self._ttl_s = ttl_s or math.inf
        self._clock = clock
        self._max_entries = max_entries
        self._owners: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners)

    def claim(self, response_id: str, client_name: str) -> None:
        """Note who got a response. The first claim stands."""
        self._forget()
        if len(response_id) <= ID_MAX_CHARS and response_id not in self._owners:
            self._owners[response_id] = client_name, self._clock() + self._ttl_s
            if len(self._owners) > self._max_entries:
                self._owners.popitem(last=False)

    def check(self, response_id: str, client_name: str) -> None:
        """Let only the owner pass.

        Raises:
            InvalidRequest: Unknown, too old, or another's: no difference is told.
        """
        self._forget()
        owner, _ = self._owners.get(response_id, (None, 0.0))
        if owner != client_name:
            unknown = FieldError("previous_response_id", "Is none that can be followed up here.")
            raise InvalidRequest("A field is not valid.", fields=[unknown])

    def _forget(self) -> None:
        """Drop what is too old; entries stand in the order of their claims."""
        now = self._clock()
        while self._owners:
            response_id, (_, until) = next(iter(self._owners.items()))
            if until > now:
                return
            del self._owners[response_id]
