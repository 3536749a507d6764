"""Hands things out in turn: round robin over callers, and every wait has a deadline."""

import asyncio
from collections import OrderedDict, deque
from typing import Generic, TypeVar

from app.errors import Overloaded, ServiceError

RETRY_AFTER_S = 5

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Holds what is free and who waits for it. `put` gives it to the caller whose turn it is.

    A caller's second wait comes after the others' first ones. At most `max_waiting` wait (0: any
    number), and no caller takes more than half of these places from others.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max = max_waiting
        self._free: deque[T] = deque()
        self._waiting: OrderedDict[str, deque[asyncio.Future[T]]] = OrderedDict()
        self._count = 0

    async def get(self, caller: str, within_s: float) -> T:
        """Wait for something free.

        Raises:
            Overloaded: Too many wait, or nothing came in time.
            ServiceError: What `close` was given.
        """
        if self._free:  # Then nobody waits.
            return self._free.pop()
        self._make_room(caller)
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._count += 1
        try:
            async with asyncio.timeout(within_s):
                return await turn
        except TimeoutError:
            self._leave(caller, turn)
            raise _overloaded() from None
        except asyncio.CancelledError:
            self._leave(caller, turn)
            raise

    def put(self, thing: T) -> None:
        """Hand it to the next one who waits, or keep it."""
        while self._waiting:
            caller, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            self._count -= 1
            if turns:
                self._waiting[caller] = turns  # Behind the others.
            if not turn.done():  # Else its caller is just leaving.
                turn.set_result(thing)
                return
        self._free.append(thing)

    def close(self, error: ServiceError) -> None:
        """Fail all who wait."""
        for turns in self._waiting.values():
            for turn in turns:
                if not turn.done():
                    turn.set_exception(error)
        self._waiting.clear()
        self._count = 0

    def drain(self) -> list[T]:
        """Return what is free, and keep none of it."""
        free = list(self._free)
        self._free.clear()
        return free

    def _make_room(self, caller: str) -> None:
        """Refuse the caller, or else whoever waits most for more than half of the places."""
        if not self._max:
            return
        half, own = self._max // 2, len(self._waiting.get(caller, ()))
        if self._count > own >= half:
            raise _overloaded()
        if self._count < self._max:
            return
        greediest = max(self._waiting, key=lambda name: len(self._waiting[name]))
        if greediest == caller or len(self._waiting[greediest]) <= half:
            raise _overloaded()
        turn = self._waiting[greediest].pop()
        self._count -= 1
        if not turn.done():
            turn.set_exception(_overloaded())

    def _leave(self, caller: str, turn: asyncio.Future[T]) -> None:
        if turn.done() and not turn.cancelled() and not turn.exception():
            self.put(turn.result())  # It was handed over just as the caller left.
        elif (turns := self._waiting.get(caller)) and turn in turns:
            turns.remove(turn)
            self._count -= 1
            if not turns:
                del self._waiting[caller]


def _overloaded() -> Overloaded:
    return Overloaded("Too many images are waiting to be decoded.", retry_after_s=RETRY_AFTER_S)
