"""Noticing that nothing was heard for a while, on the running loop's clock."""

import asyncio
from collections.abc import Callable


class Silence:
    """Calls back after every `after_s` seconds in which nothing was heard; 0: never.

    One timer, which is put off when it rings too early: what is heard comes by the thousand, and
    a timer for each would cost more than what it brings.
    """

    __slots__ = ("_after_s", "_broken", "_loop", "_timer", "heard_at")

    def __init__(self, after_s: float, broken: Callable[[], None]) -> None:
        self._after_s = after_s
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.heard_at = self._loop.time()
        """When something was heard last, by the loop's clock: to be set."""

    def watch(self) -> None:
        """Begin, as if something had just been heard."""
        self.heard_at = self._loop.time()
        if self._after_s:
            self._wind()

    def stop(self) -> None:
        """Listen no more, and let go of who was called back: it holds this, as a rule."""
        self._broken = _nobody
        if self._timer:
            self._timer.cancel()

    def _wind(self) -> None:
        self._timer = self._loop.call_at(self.heard_at + self._after_s, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if now < self.heard_at + self._after_s:
            self._wind()
            return
        self.heard_at = now
        self._wind()
        self._broken()


def _nobody() -> None:
    """Nobody is called back any more."""
