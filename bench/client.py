"""The load generator's side of a connection: collects bytes and their times, nothing else.

What came is looked at when a run is over: its core is the upstream's too.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Self, cast

from httptools import HttpResponseParser

FIRST_EVENT, OK = b"response.created", 200
JSON = "application/json"

# A request's bytes, in pieces so that a picture is not copied for every upload.
Request = Sequence[bytes]


class WrongAnswer(Exception):
    """Something was lost, refused or late: the figures of this run would be worth nothing."""


def request(line: str, *body: bytes, media_type: str = JSON, key: str = "") -> Request:
    """A request of a line such as `POST /search`, and the pieces of a body."""
    head = (
        f"{line} HTTP/1.1\r\nHost: bench\r\nContent-Type: {media_type}\r\n"
        "Accept: text/event-stream, application/json\r\n"
        f"Content-Length: {sum(map(len, body))}\r\n"
    )
    head += f"Authorization: Bearer {key}\r\n\r\n" if key else "\r\n"
    return [head.encode() + b"".join(body[:1]), *body[1:]]


class Client(asyncio.Protocol):
    """A connection; `times` (`time.perf_counter`) are those of the `pieces` of the last body."""

    def _reset(self) -> None:
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.asked_s = self.first_event_s = 0.0
        self.opened, self.ended = asyncio.Event(), asyncio.Event()
        self._parser, self._complete = HttpResponseParser(self), False

    @classmethod
    async def connect(cls, port: int) -> Self:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(cls, "127.0.0.1", port))[1]

    async def ask(self, request: Request) -> bytes:
        """Send a request and wait for the end of its answer; returns the `body`."""
        self._send(request)
        await self.ended.wait()
        return self.body

    async def open(self, request: Request) -> None:
        """Wait for the first upstream event of a stream. Raises WrongAnswer if there is none."""
        self._send(request)
        await self.opened.wait()
        if not self.first_event_s:
            raise WrongAnswer(f"no stream was opened: {b''.join(self.pieces)[:300]!r}")

    @property
    def body(self) -> bytes:
        """The answer's body. Raises WrongAnswer: the status is not 200, or it is cut off."""
        body = b"".join(self.pieces)
        if not self._complete or self._parser.get_status_code() != OK:
            raise WrongAnswer(f"answered {body[:300]!r} … {body[-100:]!r}")
        return body

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reset()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        """The parser's callback for a chunk, or a part of one."""
        self.times.append(time.perf_counter())
        self.pieces.append(piece)
        if not self.first_event_s and FIRST_EVENT in b"".join(self.pieces):
            self.first_event_s = self.times[-1]
            self.opened.set()

    def on_message_complete(self) -> None:
        """The parser's callback at the end of an answer."""
        self._complete = True
        self.connection_lost(None)

    def connection_lost(self, _: Exception | None) -> None:
        self.opened.set()
        self.ended.set()

    def _send(self, request: Request) -> None:
        if self.ended.is_set():
            self._reset()
        self.asked_s = time.perf_counter()
        self._transport.writelines(request)


async def ask_once(port: int, request: Request) -> bytes:
    """Ask on a connection of its own. Raises WrongAnswer."""
    with closing(await Client.connect(port)) as client:
        return await client.ask(request)
