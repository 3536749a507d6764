"""Hands things out one by one: round robin over callers, and every wait has a deadline."""

import asyncio
from collections import OrderedDict, deque
from typing import Generic, TypeVar

from app.errors import Overloaded, ServiceError

RETRY_AFTER_S = 5
T = TypeVar("T")


class FairQueue(Generic[T]):
    """What is free, and who waits for it. A caller's second wait comes after the others' first.

    At most `max_waiting` wait (0: any number), and no caller has more than half of these places.
    """

    def __init__(self, max_waiting: int) -> None:
        self.free: deque[T] = deque()
        self._max = max_waiting
        self._waiting: OrderedDict[str, deque[asyncio.Future[T]]] = OrderedDict()

    async def get(self, caller: str, within_s: float) -> T:
        """Wait for something free; raises `Overloaded`, or what `close` was given."""
        if self.free:  # Then nobody waits.
            return self.free.pop()
        own, count = len(self._waiting.get(caller, ())), sum(map(len, self._waiting.values()))
        if self._max and (count >= self._max or own >= max(1, self._max // 2)):
            raise _overloaded()
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            async with asyncio.timeout(within_s):
                return await turn
        except (TimeoutError, asyncio.CancelledError) as exc:
            self._leave(caller, turn)
            raise _overloaded() if isinstance(exc, TimeoutError) else exc from None

    def put(self, thing: T) -> None:
        """Hand it to the next one who waits, or keep it."""
        while self._waiting:
            caller, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns  # Behind the others.
            if not turn.done():  # Else its caller is just leaving.
                return turn.set_result(thing)
        return self.free.append(thing)

    def close(self, error: ServiceError) -> None:
        """Fail all who wait."""
        for turn in [turn for turns in self._waiting.values() for turn in turns]:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()

    def _leave(self, caller: str, turn: asyncio.Future[T]) -> None:
        turns = self._waiting.get(caller, deque())
        if turn.done() and not turn.cancelled() and not turn.exception():
            self.put(turn.result())  # It was handed over just as the caller left.
        elif turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[caller]


def _overloaded() -> Overloaded:
    return Overloaded("Too many images are waiting to be decoded.", retry_after_s=RETRY_AFTER_S)
