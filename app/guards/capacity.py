"""How many upstream calls may be under way at once, and the short wait for a place."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded

UNLIMITED = 1_000_000_000


class Capacity:
    """`limit` places (0: no limit), first come, first served; the longest wait is `wait_s`."""

    def __init__(self, limit: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(limit or UNLIMITED)
        self._wait_s = wait_s

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place; raises `Overloaded` if none came free in time."""
        try:
            # Without a wait a free place is still taken: the time-out only ends a wait.
            async with asyncio.timeout(self._wait_s if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            retry_after_s = max(1, math.ceil(self._wait_s))
            detail = "All places are taken; try again shortly."
            raise Overloaded(detail, retry_after_s=retry_after_s) from None
        try:
            yield
        finally:
            self._places.release()
