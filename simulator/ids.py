"""Identifiers and timestamps: random, or repeatable for a seed."""

import random
import time
import uuid
from typing import Final

SEEDED_TIME_S: Final = 1_790_000_000


class Ids:
    """The identifiers of one call. A seed gives the same ones in the same order."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = None if seed is None else seeded_random(seed)

    def response(self) -> str:
        return f"resp_{self.plain()}"

    def item(self) -> str:
        """An item id, `msg_<uuid>`: the vendor uses this prefix for every type of item."""
        return f"msg_{self.plain()}"

    def plain(self) -> str:
        """A bare UUID, as request ids are."""
        if self._random is None:
            return str(uuid.uuid4())
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def now_s(self) -> int:
        """Seconds since 1970, or the fixed time of seeded answers."""
        return int(time.time()) if self._random is None else SEEDED_TIME_S


def seeded_random(seed: object) -> random.Random:
    """A random generator that repeats itself for the same seed."""
    return random.Random(str(seed))  # noqa: S311 - wording and pictures, no secrets
