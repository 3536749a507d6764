"""Both ends of a connection under test: a peer that serves many requests, and a wire by hand."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.upstream.http1 import Connection, Head
from app.upstream.inbox import Take
from app.upstream.pool import Pool
from app.upstream.transport import PooledTransport, Reply
from tests.upstream.peer import listening, request

Say = Callable[["Lines", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Lines:
    """Answers its requests one by one, whatever connection they come on; the last again."""

    says: tuple[bytes | Say, ...]
    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                self.requests.append(await request(reader))
                self.asked.set()
                say = self.says[min(len(self.requests), len(self.says)) - 1]
                if isinstance(say, bytes):
                    writer.write(say)
                else:
                    await say(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()


@dataclass
class Lined:
    """A transport under test, and its peer."""

    transport: PooledTransport
    peer: Lines

    async def ask(self, content: bytes | AsyncIterable[bytes] = b"", **given: Any) -> Reply:
        asked = httpx.Request("POST", self.peer.url, content=content, **given)
        return Reply(await self.transport.handle_async_request(asked))

    async def whole(self, content: bytes | AsyncIterable[bytes] = b"") -> bytes:
        """A request and all of its answer."""
        async with aclosing(await self.ask(content)) as reply:
            return await all_of(reply)

    @property
    def idle(self) -> list[Connection]:
        return [one for idle in self.transport.pool._idle.values() for one in idle]

    @property
    def open(self) -> set[Connection]:
        return self.transport.pool._all


@asynccontextmanager
async def lined(
    *says: bytes | Say, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncGenerator[Lined, None]:
    """A peer that says this, and a transport; `tls` has the peer's context, and ours."""
    peer, transport = Lines(says), PooledTransport()
    if tls:
        transport.pool = Pool(tls[1])
    async with listening(peer.serve, tls=tls and tls[0]) as port:
        peer.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{port}/v1"
        try:
            yield Lined(transport, peer)
        finally:
            await transport.aclose()


async def all_of(reply: Reply) -> bytes:
    body = b""
    while piece := await reply.read():
        body += piece
    return body


def into(got: list[bytes]) -> Take:
    """Takes every piece."""

    def take(piece: bytes) -> bool:
        got.append(piece)
        return True

    return take


async def one(piece: bytes) -> AsyncIterator[bytes]:
    """A request's body of one piece."""
    yield piece


class Wire(asyncio.Transport):
    """A transport by hand: what is written to it, and whether it would read."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reads = True
        self.aborted = self.closed = False
        self.free: list[Connection] = []
        self.gone: list[Connection] = []
        self.connection = Connection(on_free=self.free.append, on_gone=self.gone.append)
        self.connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closing()
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def says(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.data_received(part)

    async def asked(self, *parts: bytes) -> Head:
        """Ask, hear the parts one by one, and wait for the head."""
        asking = asyncio.create_task(self.connection.ask(b"head ", one(b"and body")))
        await asyncio.sleep(0)
        self.says(*parts)
        return await asking

    async def rest(self) -> bytes:
        body = b""
        while piece := await self.connection.read():
            body += piece
        return body
