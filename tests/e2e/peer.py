"""An upstream on a real socket that says what a test scripts, and breaks off where it says so."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Part = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""What is written on one connection; true if the peer then waits for the client to leave."""

END = b"0\r\n\r\n"


@dataclass
class Peer:
    """Serves each connection by the next of its parts, the last one again and again."""

    parts: tuple[Part, ...]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        with suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.requests.append(head + await reader.readexactly(int(size or 0)))
            part = self.parts[min(len(self.requests), len(self.parts)) - 1]
            stays = await part(writer)
            await writer.drain()
            if stays:
                await reader.read()
        self.left.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(*parts: Part) -> AsyncGenerator[Peer, None]:
    """Listen on a free port."""
    peer = Peer(parts)
    async with await asyncio.start_server(peer.serve, "127.0.0.1", 0, limit=2**24) as server:
        peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield peer


def says(*texts: bytes, stays: bool = False) -> Part:
    """Write the bytes; close the connection, or keep it until the client leaves."""

    async def write(writer: asyncio.StreamWriter) -> bool:
        writer.writelines(texts)
        return stays

    return write


async def resets(writer: asyncio.StreamWriter) -> bool:
    """Reset the connection without an answer."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return False


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """A response with a body of known length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunk(text: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(text), text)


def stream(*events: dict[str, Any], end: bytes = END) -> bytes:
    """An event stream, one chunk an event."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(chunk(block(one)) for one in events) + end


def block(event: dict[str, Any]) -> bytes:
    """As DashScope frames it: no space behind the colon, a status comment in every event."""
    data = json.dumps(event, separators=(",", ":"))
    return f"id:1\nevent:{event['type']}\n:HTTP_STATUS/200\ndata:{data}\n\n".encode()


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": "msg_text", "delta": text}


def call(*matches: dict[str, Any]) -> dict[str, Any]:
    """The end of a call of the tool that found these."""
    item = {
        "id": "msg_call",
        "type": "image_search_call",
        "status": "completed",
        "arguments": json.dumps({"img_idx": 0, "bbox": [0, 0, 1000, 1000]}),
        "output": json.dumps(matches),
    }
    return {"type": "response.output_item.done", "output_index": 1, "item": item}


def completed(**response: Any) -> dict[str, Any]:
    return {
        "type": "response.completed",
        "response": {"id": "resp_1", "status": "completed", "output": [], **response},
    }


CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "queued"}}
WELL = [
    CREATED,
    call({"title": "Mountains", "url": "https://pictures.example/hills.png", "index": 1}),
    delta("Two landscapes."),
    completed(usage={"input_tokens": 2753, "output_tokens": 181, "total_tokens": 2934}),
]
"""A whole answer."""
