"""A scripted peer on a real socket: each connection is answered, or broken off, as a test says."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[["Peer", Reader, Writer], Awaitable[None]]

STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
JSON = "content-type: application/json"


@dataclass
class Peer:
    """What the peer has seen: `requests` are heads and bodies."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # A request has come.
    left: asyncio.Event = field(default_factory=asyncio.Event)  # A connection has ended.
    go_on: asyncio.Event = field(default_factory=asyncio.Event)  # Set by tests.

    @property
    def url(self) -> str:
        """The base URL for `DASHSCOPE_BASE_URL`."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def request(self, reader: Reader) -> bytes:
        """Read one request whole; its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(size or 0))
        self.requests.append(head + body)
        self.asked.set()
        return body


@asynccontextmanager
async def serving(
    *handlers: Handler, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Peer, None]:
    """A peer whose connections are handled by these in turn, and by the last one from then on."""
    peer, tasks = Peer(), set[asyncio.Task[None]]()

    async def accept(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        peer.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handlers[min(peer.connections, len(handlers)) - 1](peer, reader, writer)
        peer.left.set()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**26, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer
        server.close()
        await asyncio.gather(*tasks)


def says(*parts: bytes, reset: bool = False, waits: bool = False) -> Handler:
    """Answer one request in parts, behind each of which it `waits` for `go_on`, and close."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        await peer.request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await (peer.go_on.wait() if waits else asyncio.sleep(0))
        if reset:
            resets(writer)

    return handle


def cuts(n_bytes: int, *, reset: bool, first: bytes = b"") -> Handler:
    """Behind a request that is answered, if so: read a part of a body, and close or reset."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        if first:
            await peer.request(reader)
            writer.write(first)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(n_bytes)
        if reset:
            resets(writer)

    return handle


def holds(*parts: bytes) -> Handler:
    """Answer one request, and keep the connection until the client leaves."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        await peer.request(reader)
        writer.writelines(parts)
        await reader.read()

    return handle


def answers(*responses: bytes) -> Handler:
    """Answer the requests of all connections in turn, the last again and again."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await peer.request(reader)
            writer.write(responses[min(len(peer.requests), len(responses)) - 1])

    return handle


def resets(writer: Writer) -> None:
    """Reset the connection, as a crashed peer does."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """A whole response of a connection that closes."""
    return response(body, "connection: close", *headers, status=status)


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


def stream(*blocks: bytes, headers: bytes = b"") -> bytes:
    head = STREAM.replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n")
    return head + b"".join(map(chunk, blocks)) + END
