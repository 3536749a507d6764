"""The load generator's side of a connection: collects bytes and their times, nothing else.

What came is looked at when a run is over, so that the load generator takes little of the core that
it shares with the upstream.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Self, cast

from bench.answer import LAST_CHUNK

OK, HEAD_END, FIRST_EVENT = b"HTTP/1.1 200 ", b"\r\n\r\n", b"response.created"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)

# A request's bytes, in pieces so that a picture is not copied for every upload.
Request = Sequence[bytes]


class WrongAnswer(Exception):
    """Something was lost, refused or late: the figures of this run would be worth nothing."""


class Client(asyncio.Protocol):
    """One connection to a port of loopback, one request after the other.

    `times` are those (of `time.perf_counter`) at which the `pieces` of the last answer came.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.asked_s = self.first_event_s = 0.0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._whole_bytes = -1

    @classmethod
    async def connect(cls, port: int) -> Self:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(cls, "127.0.0.1", port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    async def ask(self, request: Request) -> bytes:
        """Send a request and wait for the end of its answer; returns the body.

        Raises WrongAnswer: the status is not 200, or the answer is cut off.
        """
        self._send(request)
        await self.ended
        return self.body

    async def open(self, request: Request) -> None:
        """Send a request for a stream and wait for the first upstream event.

        Raises WrongAnswer: the answer is not 200, or ends before its first event.
        """
        self._send(request)
        await self.opened
        if not self.first_event_s:
            raise WrongAnswer(f"no stream was opened: {b''.join(self.pieces)[:300]!r}")

    @property
    def body(self) -> bytes:
        """The answer's body, its chunks joined (RFC 9112 §7.1). Raises WrongAnswer."""
        answer = b"".join(self.pieces)
        if not answer.startswith(OK) or not self._is_whole(answer):
            raise WrongAnswer(f"answered {answer[:300]!r} … {answer[-100:]!r}")
        body = answer.partition(HEAD_END)[2]
        return body if self._whole_bytes else b"".join(_chunks(body))

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.times.append(time.perf_counter())
        self.pieces.append(data)
        if not self.first_event_s and FIRST_EVENT in b"".join(self.pieces):
            self.first_event_s = self.times[-1]
            _settle(self.opened)
        if self._is_whole(data):
            self._end()

    def _send(self, request: Request) -> None:
        if self.ended.done():
            self._reset()
        self.asked_s = time.perf_counter()
        self._transport.writelines(request)

    def _is_whole(self, data: bytes) -> bool:
        """Whether the answer ends with `data`. `_whole_bytes` is 0 when it is chunked."""
        if self._whole_bytes < 0:
            head, end, _ = b"".join(self.pieces).partition(HEAD_END)
            if not end:
                return False
            found = LENGTH.search(head)
            self._whole_bytes = len(head) + len(end) + int(found[1]) if found else 0
        if self._whole_bytes:
            return sum(map(len, self.pieces)) >= self._whole_bytes
        if len(data) < len(LAST_CHUNK):
            data = b"".join(self.pieces[-len(LAST_CHUNK) :])
        return data.endswith(LAST_CHUNK)

    def _end(self) -> None:
        _settle(self.opened)
        _settle(self.ended)


def _chunks(body: bytes) -> list[bytes]:
    found, at = [], 0
    while size := int(body[at : (end := body.index(b"\r\n", at))].partition(b";")[0], 16):
        found.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return found


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
