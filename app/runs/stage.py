"""A point that a run reaches once, and that any number of tasks wait for."""

import asyncio


class Stage:
    """Wakes its waiters in the next turn; one that is cancelled leaves the others waiting."""

    __slots__ = ("_waiters", "reached")

    def __init__(self) -> None:
        self.reached = False
        self._waiters: list[asyncio.Future[None]] = []

    def reach(self) -> None:
        """Say that it is reached; more than once does no harm."""
        self.reached = True
        for waiter in self._waiters:
            _wake(waiter)

    async def wait(self, within_s: float | None = None) -> bool:
        """Wait for it, at most `within_s` seconds; whether it is reached."""
        if self.reached:
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(within_s, _wake, waiter) if within_s is not None else None
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if timer:
                timer.cancel()
        return self.reached


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
