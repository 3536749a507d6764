"""Names and moments that the simulator gives out: random, or repeatable when a seed is asked."""

from __future__ import annotations

import random
import time
import uuid
from typing import Final

# The moment that every seeded answer claims, so that transcripts compare byte for byte.
SEEDED_MOMENT_S: Final = 1_790_000_000


class Ids:
    """The ids of one call. With a seed the same ids come in the same order."""

    def __init__(self, seed: int | None) -> None:
        self._random = None if seed is None else chance(seed)

    def response(self) -> str:
        """A response id, `resp_<uuid>`."""
        return f"resp_{self.plain()}"

    def item(self) -> str:
        """An item id, `msg_<uuid>`: the vendor uses that prefix for every kind of item."""
        return f"msg_{self.plain()}"

    def plain(self) -> str:
        """A bare uuid, as request ids are."""
        if self._random is None:
            return str(uuid.uuid4())
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def now_s(self) -> int:
        """Seconds since 1970, or the fixed moment of seeded answers."""
        return int(time.time()) if self._random is None else SEEDED_MOMENT_S


def chance(seed: object) -> random.Random:
    """A repeatable source of choices for one seed."""
    return random.Random(str(seed))  # noqa: S311 - choices of wording and shape, no secrets
