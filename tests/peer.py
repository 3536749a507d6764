"""A scripted peer on a real socket: each connection is answered, or broken off, as a test says."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Part = Callable[["Peer", asyncio.StreamWriter], Awaitable[None]]

STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


@dataclass
class Peer:
    """Answers each request by the next of its parts, and by the last one from then on.

    Attributes:
        url: the base URL for `DASHSCOPE_BASE_URL`.
        requests: what came, head and body.
        times_s: when, on the loop's clock.
        asked: a request has come.
        left: a connection that was held open has been closed by the client.
        go_on: set by the test for parts that wait for it.
    """

    parts: tuple[Part, ...]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        part = self.parts[min(len(self.requests), len(self.parts) - 1)]
        try:
            self.requests.append(await request(reader))
            self.times_s.append(asyncio.get_running_loop().time())
            self.asked.set()
            await part(self, writer)
            await writer.drain()
            if part.__name__ == "stays":
                await reader.read()
                self.left.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()


async def request(reader: asyncio.StreamReader) -> bytes:
    """One request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(size or 0))


@asynccontextmanager
async def serving(*parts: Part) -> AsyncGenerator[Peer, None]:
    """A peer on a free port."""
    peer = Peer(parts)
    async with listening(peer.serve) as port:
        peer.url = f"http://127.0.0.1:{port}/v1"
        yield peer


@asynccontextmanager
async def listening(
    handle: Handler, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[int, None]:
    """A server on a free port, which is given out; it waits for its connections to end."""
    open_ones: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_ones.add(task)
        try:
            await handle(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**24, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*open_ones)


def chunk(text: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(text), text)


def says(*texts: bytes) -> Part:
    """Write the bytes and close the connection."""

    async def closes(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.writelines(texts)

    return closes


def holds(*texts: bytes) -> Part:
    """Write the bytes and keep the connection until the client leaves."""

    async def stays(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.writelines(texts)

    return stays


def says_then(first: bytes, then: bytes) -> Part:
    """Write, wait for the test's `go_on`, write the rest and close."""

    async def closes(peer: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await peer.go_on.wait()
        writer.write(then)

    return closes


def resets_after(text: bytes) -> Part:
    """Write, wait for the test's `go_on` (not at all for no text), and reset the connection."""

    async def resets(peer: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        if text:
            await peer.go_on.wait()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return resets


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """A whole response with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def stream(*blocks: bytes, headers: bytes = b"") -> bytes:
    """A whole event stream with its end."""
    return (
        STREAM.replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n")
        + b"".join(map(chunk, blocks))
        + END
    )
