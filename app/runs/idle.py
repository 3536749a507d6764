"""A timer that calls back after a time in which nothing happened."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Calls `on_idle` after every `after_s` seconds without a `touch`; 0 disables it.

    One timer handle, set again only when it fires: a handle for each of thousands of events would
    cost more than the events.
    """

    def __init__(self, after_s: float, on_idle: Callable[[], None]) -> None:
        self._after_s = after_s
        self._on_idle = on_idle
        self._loop = asyncio.get_running_loop()
        self._touched_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self.touch()
        if self._after_s:
            self._schedule()

    def touch(self) -> None:
        """Note that something happened now."""
        self._touched_at = self._loop.time()

    def stop(self) -> None:
        """Call back no more; more than once does no harm."""
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _schedule(self) -> None:
        self._handle = self._loop.call_at(self._touched_at + self._after_s, self._fire)

    def _fire(self) -> None:
        idle = self._loop.time() >= self._touched_at + self._after_s
        if idle:
            self.touch()
        self._schedule()
        if idle:
            self._on_idle()
