"""Ctrl-C and its kin as one exception, which never comes at the wrong moment."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Asked(Exception):
    """Somebody asked the demo to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """While entered, the signals of ENDING raise `Asked` in the main thread."""

    def __init__(self) -> None:
        self._asked = 0
        self._held = 0

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._ask) for each in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the end of this block: no child is started and then forgotten."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._asked and not self._held:
            raise Asked(self._asked)

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """The same for the clean-up, at whose end nothing is raised any more."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self._asked = number
        if not self._held:
            raise Asked(number)
