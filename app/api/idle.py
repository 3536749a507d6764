"""How long a caller may send nothing of a body."""

import asyncio
from types import TracebackType
from typing import Self

from app.silence import Silence


class Idle:
    """Ends what is waited for inside it once nothing was `heard` for `idle_s` seconds; 0: never.

    Raises:
        TimeoutError: At its end, when it was too long.
    """

    def __init__(self, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._silence = Silence(idle_s, self._expire)

    def heard(self) -> None:
        """Something came: wait for the next from now on."""
        self._silence.heard_at = self._loop.time()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._silence.watch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._silence.stop()
        await self._timeout.__aexit__(kind, exc, at)

    def _expire(self) -> None:
        self._silence.stop()
        self._timeout.reschedule(self._loop.time())
