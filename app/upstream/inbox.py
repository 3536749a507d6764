"""A response's body on its way from a connection to whoever asked: poured out, or held until read.

Poured, it is handed on in the turn in which its bytes come: no task wakes up for each piece.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import httpx

HELD_BYTES = 262_144
"""As much of a body is taken before somebody reads it, and the rest of one read of the socket."""

Take = Callable[[bytes], bool]
"""Takes a piece of a body; whether it wants more."""


class Inbox:
    """What a connection takes in. One task at a time waits here."""

    __slots__ = (
        *("_loop", "_transport", "_pieces", "_take", "_raised", "_held_bytes", "_paused"),
        *("_closed", "_ended", "_lost", "_waiter"),
    )

    _transport: asyncio.Transport
    _take: Take | None
    _raised: Exception | None
    _closed: bool
    _ended: bool

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._lost: Callable[[], httpx.TransportError] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._held_bytes, self._paused = 0, False

    async def read(self) -> bytes:
        """What has come of the body, or the next that comes; nothing at its end."""
        while not (self._pieces or self._over):
            await self._wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._go_on_reading()
        if not (piece or self._ended):
            raise self._failure()
        return piece

    async def pour(self, take: Take) -> None:
        """Hand the body to `take`, whenever some of it has come, until that wants no more.

        `take` is called in this task's context. What it raises is raised here.
        """
        # A connection calls back in the context of the request that opened it.
        run: Any = copy_context().run
        self._take = partial(run, take)
        self._go_on_reading()
        try:
            if self._pieces:
                self._hand_on()
                # Whoever was waiting for the first of it goes first.
                await asyncio.sleep(0)
            while self._wants and not self._over:
                await self._wait()
            if self._raised:
                raise self._raised
            if self._wants and not self._ended:
                raise self._failure()
        finally:
            self._take = self._raised = None

    @property
    def _over(self) -> bool:
        return self._ended or self._lost is not None

    @property
    def _wants(self) -> bool:
        return self._take is not None

    def _hand_on(self, n_bytes: int = 0) -> None:
        """Give what has come to whom it is for, or hold it."""
        pieces, take = self._pieces, self._take
        if take:
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            try:
                more = take(piece)
            except Exception as exc:  # noqa: BLE001 - raised where the body is waited for
                self._raised, more = exc, False
            if not more:
                self._take = None
                self._wake()
        elif self._closed:
            pieces.clear()
        else:
            self._held_bytes += n_bytes
            if self._held_bytes > HELD_BYTES and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            self._wake()

    def _go_on_reading(self) -> None:
        self._held_bytes = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _failure(self) -> httpx.TransportError:
        # Made anew: one that were kept here, would hold this through its traceback.
        return self._lost() if self._lost else httpx.ReadError("The connection is closed.")

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
