"""How long a caller may send nothing of a body."""

import asyncio
from types import TracebackType
from typing import Self


class Idle:
    """Ends what is waited for inside it once nothing was `heard` for `idle_s` seconds; 0: never.

    One timer serves a whole body, and is put off when it rings too early: a body comes in thousands
    of pieces, and an `asyncio.timeout` around each costs more than taking it in.

    Raises:
        TimeoutError: At its end, when it was too long.
    """

    def __init__(self, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._idle_s = idle_s
        self._timer: asyncio.TimerHandle | None = None
        self.heard()

    def heard(self) -> None:
        """Something came: wait for the next from now on."""
        self._heard_at = self._loop.time()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        if self._idle_s:
            self._wind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, exc, at)

    def _wind(self) -> None:
        self._timer = self._loop.call_at(self._heard_at + self._idle_s, self._ring)

    def _ring(self) -> None:
        if self._loop.time() < self._heard_at + self._idle_s:
            self._wind()
        else:
            self._timeout.reschedule(self._loop.time())
