"""A server on loopback that does what a test says, byte by byte."""

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


@dataclass
class Peer:
    """What the server has seen, and where it is."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def request(self, reader: Reader) -> bytes:
        """Read one request whole."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(size or 0))
        self.requests.append(head + body)
        self.asked.set()
        return body


@asynccontextmanager
async def serving(
    handle: Handler, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Peer, None]:
    """The server, while it runs; at the end it waits for its connections."""
    peer, tasks = Peer(), set[asyncio.Task[None]]()

    async def accept(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        peer.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(peer, reader, writer)
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


def answers(*responses: bytes) -> Handler:
    """Answer the requests of all connections in turn, the last again and again."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await peer.request(reader)
            writer.write(responses[min(len(peer.requests), len(responses)) - 1])

    return handle


def answers_and_closes(*parts: bytes, reset: bool = False) -> Handler:
    """Answer one request of a connection in parts, each sent by itself, and close it."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        await peer.request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if reset:
            resets(writer)

    return handle


def answers_and_waits(*parts: bytes) -> Handler:
    """Answer one request and keep the connection until the client leaves, or `go_on` is set."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        await peer.request(reader)
        writer.writelines(parts)
        await reader.read()

    return handle


def resets(writer: Writer) -> None:
    """Reset the connection, as a crashed peer does."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (*chunks, b""))
