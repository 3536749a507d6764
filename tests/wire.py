"""An HTTP/1.1 client down on the socket: it can leave at any byte, and it can stop reading."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

EVENT_STREAM = {"Accept": "text/event-stream"}
RETRY_LINE = re.compile(rb"^retry: \d+\n", re.MULTILINE)


class Head(NamedTuple):
    """The head of a response, with its headers' names in lower case."""

    status: int
    headers: dict[str, str]


def request(
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> bytes:
    """A request's bytes; `body` is sent as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "service"} | EVENT_STREAM | dict(headers or {})
    if body is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    target = f"{path}?{urlencode(query, doseq=True)}" if query else path
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Wire:
    """One connection, with one request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Head:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        return Head(int(lines[0].split()[1]), {name.lower(): value for name, value in pairs})

    async def piece(self) -> bytes:
        """The next chunk of a chunked body, empty at its end; an error if it is cut."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def body(self) -> tuple[int, dict[str, str], Any]:
        """The head of a response with a known length, and its JSON."""
        status, headers = await self.head()
        content = await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, json.loads(content)

    async def all(self) -> bytes:
        """What comes until the connection ends, however it does."""
        data = b""
        with suppress(ConnectionError):
            while piece := await self.reader.read(2**16):
                data += piece
        return data

    async def send_all(self, data: bytes, times: int = 1) -> None:
        for _ in range(times):
            self.writer.write(data)
            await self.writer.drain()

    async def rest(self) -> bytes:
        data = bytearray()
        while piece := await self.piece():
            data += piece
        return bytes(data)

    async def events(self, count: int) -> bytes:
        """Read on until so many whole events have come, and return those."""
        stream = b""
        while len(events_of(whole_frames(stream))) < count:
            stream += await self.piece()
        return whole_frames(stream)

    def reset(self) -> None:
        """Leave as a crashed client does."""
        self.writer.transport.abort()

    def stop_reading(self) -> None:
        """Take nothing more from the socket, as a suspended client."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined] # a read transport too


@asynccontextmanager
async def dial(url: str, *, receive_bytes: int = 0) -> AsyncIterator[Wire]:
    """Connect to the service; `receive_bytes` bounds what the kernel takes in unread (0: not)."""
    address = urlsplit(url)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=2**20)
    except BaseException:
        sock.close()
        raise
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def whole_frames(stream: bytes) -> bytes:
    """The events of a stream that came whole, without the `retry:` lines of its connection."""
    complete = stream[: stream.rfind(b"\n\n") + 2] if b"\n\n" in stream else b""
    return RETRY_LINE.sub(b"", complete)


async def replay(url: str, search_id: str, *, after: int = 0) -> bytes:
    """The whole events of a search behind the one of this number."""
    async with dial(url) as wire:
        wire.send(request("GET", f"/search/{search_id}/stream", query={"after": after}))
        assert (await wire.head()).status == 200
        return whole_frames(await wire.rest())


def last_id(frames: bytes) -> str:
    """The id of the last event; empty if there is none."""
    ids: list[bytes] = re.findall(rb"^id: (.*)$", frames, re.MULTILINE)
    return ids[-1].decode() if ids else ""


def events_of(frames: bytes) -> list[bytes]:
    return re.findall(rb"^event: (.*)$", frames, re.MULTILINE)
