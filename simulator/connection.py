"""The connection of one call: sends, waits, breaks off, and notices when the client leaves."""

import asyncio
import os
import socket
import struct
from typing import Final

from starlette.types import Receive, Send

# Without waits between events the loop must still run other tasks, and see the client leave.
_SENDS_PER_TURN: Final = 16
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class ClientGone(Exception):
    """The client closed its connection. Raised by every method that waits."""


class Connection:
    """One connection while it carries one call."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        # ASGI has no way to break a connection. Under uvicorn `receive` is a method of the
        # request's cycle, which has the transport, as long as nothing wraps it.
        self._transport: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]
        self._gone = asyncio.Event()
        self._sends = 0
        self._watch: asyncio.Task[None] | None = None

    def release(self) -> None:
        """Stop watching for the client's leaving."""
        if self._watch is not None:
            self._watch.cancel()

    async def body(self) -> bytes:
        """Read the request's body, then begin to watch for the client's leaving."""
        body, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self._watch = asyncio.create_task(self._wait_for_disconnect())
        return bytes(body)

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the status and headers."""
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes) -> None:
        """Send one chunk of the body."""
        if self._transport.is_closing():
            # A failed send closes the transport; uvicorn reports it at the loop's next turn.
            await self._gone.wait()
        if self._gone.is_set():
            raise ClientGone
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._sends += 1
        if self._sends % _SENDS_PER_TURN == 0:
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the body in order."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def wait(self, limit_s: float | None, event: asyncio.Event | None = None) -> None:
        """Wait so long, or until an event; None is until the client leaves."""
        if limit_s == 0:
            return
        waits = [asyncio.create_task(each.wait()) for each in (self._gone, event) if each]
        try:
            await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self._gone.is_set():
            raise ClientGone

    async def break_off(self, *, reset: bool) -> None:
        """Close the connection in the middle of the response, or reset it."""
        if reset:
            self.reset()
        else:
            self._transport.close()
        # Returning before uvicorn notices would make it log an unfinished answer.
        await self._gone.wait()

    def reset(self) -> None:
        """Break the connection with a TCP RST."""
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            # A duplicate of the descriptor: uvloop's own socket object takes no options.
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
