"""How many searches may be under way at once, and the short wait for a place. No more queue."""

import asyncio
import math
from collections import OrderedDict

from app.errors import Overloaded


class Capacity:
    """`limit` places (0: no limit), handed on first come, first served.

    Who finds none free waits at most `wait_s` seconds on the event loop's clock (0: not at all).
    """

    def __init__(self, limit: int, wait_s: float) -> None:
        self._limit = limit
        self._wait_s = wait_s
        self._taken = 0
        self._waiting: OrderedDict[asyncio.Future[bool], None] = OrderedDict()

    @property
    def taken(self) -> int:
        """Places in use."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Callers who wait for a place."""
        return len(self._waiting)

    async def take(self) -> None:
        """Take a place, to be given back with `give_back`. Cancelled while waiting, it takes none.

        Raises:
            Overloaded: No place came free in time.
        """
        # A free place means that nobody waits: `give_back` hands a place on before it frees it.
        if not self._limit or self._taken < self._limit:
            self._taken += 1
        elif not await self._handed_on():
            again_s = max(1, math.ceil(self._wait_s))
            raise Overloaded("All places are taken; try again shortly.", retry_after_s=again_s)

    def give_back(self) -> None:
        """Hand the place to whoever has waited longest, else free it."""
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                waiter.set_result(True)
                return
        self._taken -= 1

    async def _handed_on(self) -> bool:
        """Wait for a place given back by another; `False` when none came."""
        if not self._wait_s:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[waiter] = None
        timer = loop.call_later(self._wait_s, _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # The place may have been handed over in the very turn that this caller was cancelled.
            if not waiter.cancelled() and waiter.result():
                self.give_back()
            raise
        finally:
            timer.cancel()
            self._waiting.pop(waiter, None)


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
