"""`python -m bench.upstream`: the bench's upstream, a process that does as little as can be.

It answers every POST with the shape in force, from bytes made beforehand; it parses no JSON and
looks into a body only for whether a stream is asked for. Control requests on the same port:

    PUT  /shape   set what is answered from now on; the body is a `Shape`
    POST /go      release the held streams; answers how many
    GET  /stats   its CPU seconds, and how late its clock ever was since the shape was set
    GET  /image   SHA-256 of the picture in the last large body
"""

import asyncio
import base64
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import cast

import uvloop

from bench.shape import Shape, Wire, encode
from bench.ticker import Ticker

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
ASKS_STREAM = re.compile(rb'"stream": ?true')
LOOK_BYTES = 4_096
"""A body's two ends, in which `"stream"` stands."""

LARGE_BYTES = 65_536
DATA_URL = re.compile(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)")


class Upstream:
    """What all connections share."""

    def __init__(self) -> None:
        self.held: list[Connection] = []
        self.large: list[bytes] = []
        self.set(Shape(deltas=1))

    def set(self, shape: Shape) -> None:
        """Answer like this from now on; what was held is given up."""
        self.shape = shape
        self.wire: Wire = encode(shape)
        self.ticker = Ticker(asyncio.get_running_loop(), shape.interval_s)
        self.held.clear()

    def control(self, line: bytes, body: list[bytes]) -> bytes:
        """Do what a control request says; its answer as JSON."""
        if line.startswith(b"PUT /shape "):
            self.set(Shape.read(b"".join(body)))
            return b"{}"
        if line.startswith(b"POST /go "):
            held, self.held = self.held, []
            for stream in held:
                stream.release()
            return json.dumps({"streams": len(held)}).encode()
        if line.startswith(b"GET /image "):
            return json.dumps({"sha256": self._image()}).encode()
        late_ms = self.ticker.late_s * 1000
        return json.dumps({"cpu_s": time.process_time(), "late_ms": late_ms}).encode()

    def _image(self) -> str:
        found = DATA_URL.search(b"".join(self.large))
        return hashlib.sha256(base64.b64decode(found[1])).hexdigest() if found else ""


class Connection(asyncio.Protocol):
    """One connection: request, answer, request…, never two at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._head = b""
        self._body: list[bytes] = []
        self._missing_bytes = 0
        self._left: Iterator[bytes] = iter(())
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Remember that nobody reads."""
        self.gone = True

    def data_received(self, data: bytes) -> None:
        """Collect a request; answer it when it is whole."""
        if not self._missing_bytes:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(self._head, 0, end)
            data = self._head[end + 4 :]
            self._head = self._head[:end]
            self._missing_bytes = int(found[1]) if found else 0
        if data:
            self._body.append(data)
            self._missing_bytes -= len(data)
        if self._missing_bytes <= 0:
            self._answer()

    def release(self) -> None:
        """Send the deltas: paced, or all at once."""
        if self._upstream.shape.interval_s:
            self._upstream.ticker.add(self)
        else:
            self._transport.write(b"".join(self._left) + self._wire.closing)

    def step(self) -> bool:
        """Send the next delta; whether more are to come."""
        if self.gone:
            return False
        if delta := next(self._left, None):
            self._transport.write(delta)
            return True
        self._transport.write(self._wire.closing)
        return False

    def _answer(self) -> None:
        head, body = self._head, self._body
        self._head, self._body, self._missing_bytes = b"", [], 0
        line = head[: head.find(b"\r\n")]
        if not line.startswith(b"POST ") or line.startswith(b"POST /go "):
            self._whole(self._upstream.control(line, body))
            return
        if sum(map(len, body)) >= LARGE_BYTES:
            self._upstream.large = body
        if ASKS_STREAM.search(body[0], 0, LOOK_BYTES) or ASKS_STREAM.search(_end(body)):
            self._begin()
        else:
            self._whole(self._upstream.wire.whole)

    def _whole(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)

    def _begin(self) -> None:
        """Begin a stream; one that is not held or paced is sent whole."""
        self._wire = wire = self._upstream.wire
        shape = self._upstream.shape
        if not shape.held and not shape.interval_s:
            self._transport.writelines([STREAM_HEAD, wire.opening, *wire.deltas, wire.closing])
            return
        self._left = iter(wire.deltas)
        self._transport.write(STREAM_HEAD + wire.opening)
        if shape.held:
            self._upstream.held.append(self)
        else:
            self._upstream.ticker.add(self)


def _end(body: list[bytes]) -> bytes:
    return b"".join(body[-2:])[-LOOK_BYTES:]


async def main() -> None:
    """Serve on a free port of loopback, and tell it, until standard input ends."""
    loop = asyncio.get_running_loop()
    upstream = Upstream()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0, backlog=4_096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
