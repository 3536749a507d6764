"""A stream on its way to one reader: written at once, as long as the connection takes it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from starlette.types import Receive, Scope, Send

from app.silence import Silence

logger = logging.getLogger("app.api")

OUTLET = "imagesearch.outlet"
"""The ASGI extension under which a server offers an `Outlet` of its own."""

KEEP_ALIVE = b": keep-alive\n"
"""A comment line, not a block: openai-python takes a lone blank line for an empty event."""


class Outlet(Protocol):
    """Where the body of a response that has begun goes."""

    unsent: bytes

    def write(self, piece: bytes) -> bool:
        """Write a piece; whether there may be more before `send` has waited for room."""
        ...

    def flush(self) -> None:
        """Let go out now what was written, not only at the turn's end."""
        ...

    def on_lost(self, lost: Callable[[], None]) -> None:
        """Have it called when the reader has gone."""
        ...

    def abort(self) -> None:
        """Drop the connection with all that is still unsent."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class PlainOutlet:
    """For a server that offers none: every piece is left to `send`, and a task hears of the end."""

    def __init__(self, receive: Receive) -> None:
        self.unsent = b""
        self._receive = receive
        self._listening: asyncio.Task[None] | None = None

    def write(self, piece: bytes) -> bool:
        """Leave a piece to the next `send`."""
        self.unsent = piece
        return False

    def flush(self) -> None:
        """Leave it at that."""

    def on_lost(self, lost: Callable[[], None]) -> None:
        """Listen for the reader's leaving."""
        self._lost = lost
        self._listening = asyncio.create_task(self._listen())
        self._listening.add_done_callback(self._on_heard)

    def abort(self) -> None:
        """Act as if the reader had gone: the server then closes what was not ended."""
        self._lost()

    def close(self) -> None:
        """Stop listening."""
        if self._listening:
            self._listening.remove_done_callback(self._on_heard)
            self._listening.cancel()

    def _on_heard(self, listening: asyncio.Task[None]) -> None:
        if not listening.cancelled():
            self._lost()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def outlet_of(scope: Scope, receive: Receive) -> Outlet:
    """The way to a request's connection: the server's own, where it offers one."""
    offered: Outlet | None = (scope.get("extensions") or {}).get(OUTLET)
    return offered or PlainOutlet(receive)


Flow = Iterator[bool]
"""Writes all there is at every step; true where the connection took the last piece for now."""


class Feed:
    """Writes in the same turn in which there is something, until the connection is full.

    The task that runs it only wakes up to wait for room, or for the end. Several of a log's
    growths between two turns cost it nothing, and a reader that lags holds one piece.
    """

    __slots__ = (
        *("_flow", "_outlet", "_loop", "_sleeper", "_full", "_over", "_gone", "_broken"),
        "_silence",
    )

    def __init__(
        self,
        begin: Callable[[Callable[[bytes], bool]], Flow],
        outlet: Outlet,
        *,
        heartbeat_s: float,
    ) -> None:
        """Take what begins a flow into a given `write`.

        A comment line is sent after every `heartbeat_s` seconds of silence (0: never).
        """
        self._flow = begin(outlet.write)
        self._outlet = outlet
        self._loop = asyncio.get_running_loop()
        self._silence = Silence(heartbeat_s, self._on_silence)
        self._sleeper: asyncio.Future[None] | None = None
        self._broken: Exception | None = None
        self._full = self._over = self._gone = False

    def pump(self) -> None:
        """Write what there is, as long as it is taken. Never raises: `run` does."""
        if self._full:
            return
        try:
            self._full = next(self._flow)
        except StopIteration:
            self._over = True
        except Exception as exc:  # noqa: BLE001 - raised where the response is awaited
            self._broken, self._over = exc, True
        self._silence.heard_at = self._loop.time()
        if self._full or self._over:
            self._wake()

    async def run(self, send: Send, timeout_s: float | None) -> None:
        """Write to the last piece, and end the body; a reader that stalls is dropped."""
        self._outlet.on_lost(self._on_lost)
        self._silence.watch()
        self.pump()
        # The first is waited for most: not behind what else this turn has to do.
        self._outlet.flush()
        while self._full or not self._over:
            if self._full:
                await self._make_room(send, timeout_s)
            else:
                self._sleeper = self._loop.create_future()
                await self._sleeper
        if self._broken:
            raise self._broken
        if not self._gone:
            await self._send(send, timeout_s, b"", more_body=False)

    def close(self) -> None:
        """Let go of the connection and the timer."""
        self._outlet.close()
        self._silence.stop()

    async def _make_room(self, send: Send, timeout_s: float | None) -> None:
        """Wait until the reader has taken what was written, and go on."""
        await self._send(send, timeout_s, self._outlet.unsent, more_body=True)
        self._full = False
        self.pump()

    async def _send(
        self, send: Send, timeout_s: float | None, body: bytes, *, more_body: bool
    ) -> None:
        """Send behind what was written, and drop a reader that takes nothing for too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await send({"type": "http.response.body", "body": body, "more_body": more_body})
        except TimeoutError:
            # A plain close would wait for the stalled peer to take what is buffered for it.
            logger.info("reader dropped: it took nothing for too long")
            self._outlet.abort()

    def _on_lost(self) -> None:
        self._gone = self._over = True
        self._full = False
        self._flow = iter(())
        self._wake()

    def _wake(self) -> None:
        if self._sleeper and not self._sleeper.done():
            self._sleeper.set_result(None)

    def _on_silence(self) -> None:
        if not (self._full or self._over):
            self._full = not self._outlet.write(KEEP_ALIVE)
            self._wake()
