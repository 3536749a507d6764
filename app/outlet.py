"""A response's way out to its connection: past `send`, and to a caller of HTTP/1.0."""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import ref

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Outlet:
    """A response's way to its connection, past `send`; see `app.api.feed.Outlet`.

    Writing here is the same as `send` with `more_body`, without a coroutine through every
    middleware for each piece.
    """

    __slots__ = ("_chunked", "_cycle", "_flow", "_lost", "_told", "_transport", "_write", "flush")

    unsent = b""

    def __init__(self, cycle: RequestResponseCycle, told: list[Callable[[], None]]) -> None:
        """Take a request's cycle, and who is told when its connection is lost."""
        self._told = told
        # It holds this, by its scope.
        self._cycle = ref(cycle)
        self._chunked: bool | None = None
        self._flow = cycle.flow
        # uvicorn's annotation knows nothing of what it was handed.
        gathered: Any = cycle.transport
        self._transport, self._write, self.flush = gathered, gathered.write, gathered.flush
        self._lost: Callable[[], None] | None = None

    def write(self, piece: bytes) -> bool:
        """Write a piece; whether there may be more before the next `send` has waited for room."""
        if self._chunked is None:
            # The head has been sent, and has said so.
            cycle = self._cycle()
            self._chunked = bool(cycle and cycle.chunked_encoding)
        if self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._write(piece)
        return not self._flow.write_paused

    def on_lost(self, lost: Callable[[], None]) -> None:
        """Have it called when the connection is lost, or soon if it is."""
        self._lost = lost
        self._told.append(self._tell)
        # A body that came in large pieces leaves reading paused, and nobody would hear of an end.
        self._flow.resume_reading()
        if self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._tell)

    def abort(self) -> None:
        """Drop the connection with all that is still unsent."""
        self._transport.abort()

    def close(self) -> None:
        """Let go of the connection."""
        if self._lost:
            self._told.remove(self._tell)
            self._lost = None

    def _tell(self) -> None:
        # uvicorn tells it to the newest of pipelined requests only.
        if cycle := self._cycle():
            cycle.disconnected = True
        if self._lost:
            self._lost()


class Unchunked:
    """An answer to HTTP/1.0, which knows no chunks: the connection's end ends it.

    RFC 9112 §6.1: no Transfer-Encoding in a response to a request of less than HTTP/1.1.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send: Any = cycle.send
        self._sized = False

    async def send(self, message: Message) -> None:
        """Pass a message on, so that uvicorn neither chunks nor counts a body without a length."""
        if message["type"] == "http.response.start":
            self._sized = any(
                name.lower() == b"content-length" for name, _ in message.get("headers", ())
            )
            if not self._sized:
                self._cycle.chunked_encoding = False
        elif not self._sized:
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)
