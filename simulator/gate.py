"""A gate that a test opens, to prove that what came before it was not held back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

GATE_LIMIT_S: Final = 30.0
GATES_MAX: Final = 1000


class Gate:
    """Named gates; one that is opened before anybody waits stays open."""

    def __init__(self) -> None:
        self._gates: OrderedDict[str, asyncio.Event] = OrderedDict()

    async def open(self, tag: str) -> None:
        """Let every stream that waits, or will wait, at this gate pass."""
        self.at(tag).set()

    def at(self, tag: str) -> asyncio.Event:
        """The event that is set when this gate is open."""
        event = self._gates.setdefault(tag, asyncio.Event())
        if len(self._gates) > GATES_MAX:
            self._gates.popitem(last=False)
        return event
