"""One clock for all streams of a pace, instead of a timer for each."""

import asyncio
from typing import Protocol

TICK_S = 0.001


class Stepping(Protocol):
    """What the clock moves."""

    def step(self) -> bool:
        """Go on by one; whether there is more to come."""
        ...


class Ticker:
    """Steps every member once in `interval_s` seconds, members spread evenly over the interval."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        self.late_s = 0.0
        """How late a tick ever was: what the upstream itself adds to the pace."""
        self._loop = loop
        self._slots: list[list[Stepping]] = [[] for _ in range(max(1, round(interval_s / TICK_S)))]
        self._members = 0
        self._running = False

    def add(self, member: Stepping) -> None:
        """Take a member in; its first step comes within one interval."""
        self._slots[self._members % len(self._slots)].append(member)
        self._members += 1
        if not self._running:
            self._running = True
            self._began_s = self._loop.time()
            self._done = 0
            self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Step the slots that are due; after a delay all that were missed, one by one."""
        elapsed_s = self._loop.time() - self._began_s
        self.late_s = max(self.late_s, elapsed_s - (self._done + 1) * TICK_S)
        for number in range(self._done, int(elapsed_s / TICK_S)):
            slot = self._slots[number % len(self._slots)]
            slot[:] = [member for member in slot if member.step()]
            self._done = number + 1
        self._running = any(self._slots)
        if self._running:
            # Not at the next slot's own time: a timer of whole milliseconds that is due in less
            # fires at once, and again, until it is.
            self._loop.call_later(TICK_S, self._tick)
