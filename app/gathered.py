"""A connection's writes, gathered: what one turn of the loop brings goes out in one, at its end.

A write of its own for a response's head, its first piece and its last costs as many system calls,
each of which may wake the reader. And all connections' writes of a turn go out one behind the
other: a reader on this machine, a proxy in front above all, then wakes up once for many of them.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class Gathered:
    """A transport whose writes wait for the turn's end, or until they are `most` bytes."""

    __slots__ = ("_most", "_on_close", "_pieces", "_size", "_transport", "_turn")

    def __init__(
        self,
        transport: asyncio.Transport,
        turn: "Turn",
        *,
        most: int,
        on_close: Callable[[], None],
    ) -> None:
        """`on_close` is called once closing waits for no more than the reader."""
        self._transport = transport
        self._on_close = on_close
        self._turn = turn
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        """Be the transport in everything else."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write before the next turn."""
        if not self._pieces:
            self._turn.wrote(self)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write now."""
        if self._pieces and not self._transport.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0

    def close(self) -> None:
        """Close the connection behind what was written."""
        self.flush()
        self._transport.close()
        self._on_close()


class Turn:
    """Who has written in this turn of the loop; for all connections of a server."""

    def __init__(self) -> None:
        self._writers: list[Gathered] = []

    def wrote(self, writer: Gathered) -> None:
        """Have it flushed at the turn's end."""
        if not self._writers:
            asyncio.get_running_loop().call_soon(self._end)
        self._writers.append(writer)

    def _end(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.flush()
