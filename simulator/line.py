"""The connection of one call: performs steps, and notices when the client has gone."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

from simulator.events import Tally
from simulator.gate import GATE_LIMIT_S, Gate
from simulator.steps import Chunk, Finish, Hold, Keep, Start, Step, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Send

    from simulator.record import Note

# Without waits between events the loop must still turn, for others and to see the client leave.
_SENDS_PER_TURN: Final = 16
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class ClientGone(Exception):
    """The client closed its connection."""


class _Cycle(Protocol):
    """What is used of uvicorn's request cycle."""

    transport: asyncio.Transport


class Line:
    """One connection while it carries one call."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._sends = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def body(self) -> bytes:
        """Read the request's body, then begin to watch for the client's leaving.

        Raises:
            ClientGone: it left before the body was whole.
        """
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self._watch = asyncio.create_task(self._await_leaving())
        return b"".join(parts)

    async def perform(
        self, steps: Iterator[Step], *, note: Note, gate: Gate, keep: Callable[[], None]
    ) -> None:
        """Perform the steps of one call and note what is charged.

        Raises:
            ClientGone: the client left before the end.
        """
        for step in steps:
            match step:
                case Chunk():
                    await self._write(step.data)
                case Wait():
                    await self._pause(step.seconds)
                case Tally():
                    _charge(note, step)
                case Start():
                    await self._start(step)
                case Keep():
                    keep()
                case Hold():
                    await self._hold(gate.at(step.tag))
                case Finish():
                    note.finished = step.finished
                    await self._finish(step)

    def reset(self) -> None:
        """Break the connection with a TCP RST."""
        transport = self._breakable()
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None and not transport.is_closing():
            # A twin of the descriptor: uvloop's stand-in for a socket takes no options.
            with socket.socket(fileno=os.dup(connection.fileno())) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def _transport(self) -> asyncio.Transport | None:
        # ASGI has no way to break a connection. Under uvicorn `receive` is a method of the
        # request cycle, which holds the transport, as long as nothing wraps it.
        if not inspect.ismethod(self._receive):
            return None
        return cast("_Cycle", self._receive.__self__).transport

    def _breakable(self) -> asyncio.Transport:
        transport = self._transport()
        if transport is None:
            raise TypeError("connections can be broken only when uvicorn serves this directly")
        return transport

    async def _await_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _start(self, step: Start) -> None:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in step.headers
        ]
        await self._send({"type": "http.response.start", "status": step.status, "headers": headers})

    async def _write(self, data: bytes) -> None:
        transport = self._transport()
        if transport is not None and transport.is_closing():
            # A failed send closes the transport; uvicorn is told at the loop's next turn.
            await self._gone.wait()
        if self._gone.is_set():
            raise ClientGone
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._sends += 1
        if self._sends % _SENDS_PER_TURN == 0:
            await asyncio.sleep(0)

    async def _finish(self, step: Finish) -> None:
        if step.how == "end":
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if step.how == "reset":
            self.reset()
        else:
            self._breakable().close()
        # Returning before uvicorn knows would make it log an unfinished answer.
        await self._gone.wait()

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._gone.wait()
        except TimeoutError:
            return
        raise ClientGone

    async def _hold(self, opened: asyncio.Event) -> None:
        """Wait for a gate, within its limit, unless the client leaves."""
        waits = [asyncio.create_task(event.wait()) for event in (opened, self._gone)]
        try:
            await asyncio.wait(waits, timeout=GATE_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self._gone.is_set():
            raise ClientGone


def _charge(note: Note, tally: Tally) -> None:
    note.billed = True
    note.tool_calls += tally.tool_calls
    note.input_tokens += tally.input_tokens
    note.output_tokens += tally.output_tokens
