"""An event loop whose clock a test can put forward, and that can tell when nothing moves."""

import asyncio
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

IDLE_S = 0.01
"""Real seconds without any event on any socket, after which the loop counts as idle."""


class IdleSelector(selectors.DefaultSelector):
    """Notices that the loop has nothing to do, for those who wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.waiters: list[asyncio.Future[None]] = []
        self.on_idle: Callable[[float], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for sockets until the next timer, `timeout` seconds from now, or until idle."""
        if not (self.waiters or self.on_idle) or (timeout is not None and timeout <= IDLE_S):
            return super().select(timeout)
        if ready := super().select(IDLE_S):
            return ready
        if self.waiters:
            waiters, self.waiters = self.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        elif self.on_idle and timeout is not None:
            self.on_idle(timeout)
        return []


class SkippingLoop(asyncio.SelectorEventLoop):
    """Real time plus what was skipped; timers that fall due by a skip fire at the next turn."""

    def __init__(self) -> None:
        self.idle_selector = IdleSelector()
        super().__init__(self.idle_selector)
        self.skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_s

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Look a name up in this turn: what a thread does is not seen by `quiet`."""
        return socket.getaddrinfo(host, port, **hints)


def skipping_loop() -> SkippingLoop:
    """The running loop, which is one of these in every test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    return loop


def skip(seconds: float) -> None:
    skipping_loop().skipped_s += seconds


async def settle(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until the condition holds, where nothing signals it."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


async def quiet() -> None:
    """Return when nothing in this process moves: all wait for a timer, or for somebody outside."""
    loop = skipping_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.idle_selector.waiters.append(waiter)
    await waiter


@contextmanager
def skipping_pauses() -> Iterator[list[float]]:
    """Whenever nothing moves, put the clock forward to the next timer; gives what was skipped."""
    loop = skipping_loop()
    skipped_s: list[float] = []

    def skip_to(timer_s: float) -> None:
        skipped_s.append(timer_s)
        skip(timer_s)

    loop.idle_selector.on_idle = skip_to
    try:
        yield skipped_s
    finally:
        loop.idle_selector.on_idle = None
