"""The client's side of a connection: bytes in with their times, and no look inside while it runs.

What came is taken apart when a run is over (`delivery`), so that the load generator takes next to
nothing from the core that it shares with the upstream.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import cast

from bench.shape import END

CREATED = b"response.created"
OK = b"HTTP/1.1 200 "
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"

Parts = Sequence[bytes]
"""A request's bytes, in pieces so that a picture is not copied for every upload."""


class Broken(Exception):
    """Something was lost, refused or late: the run's figures would be worth nothing."""


class Stream(asyncio.Protocol):
    """One streamed answer, on a connection of its own.

    `times` are the seconds (of `time.perf_counter`) at which `pieces` came.
    """

    __slots__ = ("_transport", "asked_s", "ended", "opened", "opened_s", "pieces", "times")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.asked_s = self.opened_s = 0.0
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, parts: Parts) -> None:
        """Send the request."""
        self.asked_s = time.perf_counter()
        self._transport.writelines(parts)

    def data_received(self, data: bytes) -> None:
        """Note the time and keep the bytes; the first upstream event opens, the last chunk ends."""
        self.times.append(time.perf_counter())
        self.pieces.append(data)
        if not self.opened_s:
            self._look_for_the_first_event()
        if data.endswith(END) or (len(data) < len(END) and self._ends_with_the_last_chunk()):
            self._end()

    def connection_lost(self, _: Exception | None) -> None:
        """End with what has come."""
        self._end()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _look_for_the_first_event(self) -> None:
        text = b"".join(self.pieces)
        if not text.startswith(OK):
            self._end()
        elif CREATED in text:
            self.opened_s = self.times[-1]
            _settle(self.opened)

    def _ends_with_the_last_chunk(self) -> bool:
        return b"".join(self.pieces[-len(END) :]).endswith(END)

    def _end(self) -> None:
        _settle(self.opened)
        _settle(self.ended)


class Caller(asyncio.Protocol):
    """A connection that is kept: one whole answer after the other."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._answer: asyncio.Future[bytes] | None = None
        self._whole_bytes = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Fail the answer that is awaited."""
        self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(Broken("the connection was closed in mid-answer"))

    async def ask(self, parts: Parts) -> bytes:
        """Send a request and wait for its whole answer, head included."""
        self._pieces.clear()
        self._whole_bytes = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(parts)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self._pieces.append(data)
        if self._answer and not self._answer.done() and self._is_whole(data):
            self._answer.set_result(b"".join(self._pieces))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _is_whole(self, data: bytes) -> bool:
        if self._whole_bytes:
            return sum(map(len, self._pieces)) >= self._whole_bytes
        if len(self._pieces) > 1 and data.endswith(END):
            return True
        text = b"".join(self._pieces)
        end = text.find(HEAD_END)
        if end < 0:
            return False
        if found := LENGTH.search(text, 0, end):
            self._whole_bytes = end + len(HEAD_END) + int(found[1])
            return len(text) >= self._whole_bytes
        return text.endswith(END, end + len(HEAD_END))


async def dial_stream(port: int) -> Stream:
    """Connect to a port of loopback for one stream."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Stream, "127.0.0.1", port))[1]


async def dial(port: int) -> Caller:
    """Connect to a port of loopback for answers one after the other."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Caller, "127.0.0.1", port))[1]


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
