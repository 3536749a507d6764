"""Hands things out one by one, in turn over callers; every wait has a deadline."""

import asyncio
from typing import Generic, TypeVar

from app.errors import Overloaded, ServiceError

BUSY, RETRY_AFTER_S = "Too many images are waiting to be decoded.", 5
T = TypeVar("T")


class FairQueue(Generic[T]):
    """What is free, and who waits for it, in rounds: a caller has one turn in each.

    At most `max_waiting` wait, and no caller has more than half of these places.
    """

    def __init__(self, max_waiting: int) -> None:
        self.free: list[T] = []
        self._max = max_waiting
        self._waiting: list[tuple[int, str, asyncio.Future[T]]] = []
        self._round = 0

    async def get(self, caller: str, within_s: float) -> T:
        """Wait for something free; raises `Overloaded`, or what `close` was given."""
        if self.free:  # Then nobody waits.
            return self.free.pop()
        own = [number for number, name, _ in self._waiting if name == caller]
        if len(self._waiting) >= self._max or len(own) >= self._max // 2:
            raise Overloaded(BUSY, retry_after_s=RETRY_AFTER_S)
        given: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        turn = (max([self._round, *own]) + 1, caller, given)
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                return await given
        except (TimeoutError, asyncio.CancelledError) as exc:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self.put(given.result())  # It was handed over just as the caller left.
            if isinstance(exc, TimeoutError):
                raise Overloaded(BUSY, retry_after_s=RETRY_AFTER_S) from None
            raise

    def put(self, thing: T) -> None:
        """Hand it to the next one who waits, or keep it."""
        waiting = [turn for turn in self._waiting if not turn[2].done()]
        if not waiting:
            self.free.append(thing)
            return
        turn = min(waiting, key=lambda turn: turn[0])
        self._waiting.remove(turn)
        self._round = turn[0]
        turn[2].set_result(thing)

    def close(self, error: ServiceError) -> None:
        """Fail all who wait."""
        for _, _, given in self._waiting:
            if not given.done():
                given.set_exception(error)
