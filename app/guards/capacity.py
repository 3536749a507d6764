"""How many upstream calls may be under way at once, and the short wait for a place."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded


class Capacity:
    """`limit` places (0: no limit), first come, first served; the longest wait is `wait_s`."""

    def __init__(self, limit: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(limit) if limit else None
        self._wait_s = wait_s
        self.taken = 0
        """Places in use."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            Overloaded: No place came free in time.
        """
        await self._acquire()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            if self._places:
                self._places.release()

    async def _acquire(self) -> None:
        places = self._places
        if places is None:
            return
        if places.locked() and not self._wait_s:
            raise self._full()
        try:
            async with asyncio.timeout(self._wait_s if places.locked() else None):
                await places.acquire()
        except TimeoutError:
            raise self._full() from None

    def _full(self) -> Overloaded:
        retry_after_s = max(1, math.ceil(self._wait_s))
        return Overloaded("All places are taken; try again shortly.", retry_after_s=retry_after_s)
