"""`python -m bench.upstream PORT`: the bench's upstream, a process that does as little as possible.

It answers every POST with the answer that was set last, from bytes made before the run; it parses
no JSON, and looks into a body only for whether a stream is asked for. Control requests:

    PUT  /answer  set the answer from now on; the body is an `Answer` as JSON
    POST /go      release the held streams
    GET  /stats   the digest of the last large picture, and how late the clock was at most
"""

import asyncio
import base64
import hashlib
import json
import re
import sys
from asyncio import StreamReader, StreamWriter
from typing import Any

import uvloop

from bench.answer import Answer, encode

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
ASKS_STREAM = re.compile(rb'"stream": ?true')
DATA_URL = re.compile(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)")
ENDS_BYTES = 4_096
"""Of a body's beginning and end, where `"stream"` stands."""

LARGE_BYTES, READ_BYTES = 65_536, 2**20
TICK_S = 0.001


class Upstream:
    """The answer in force, the streams that are held, and how late a delta was at most."""

    def __init__(self) -> None:
        self.large_body, self.late_s, self.n_paced = b"", 0.0, 0
        self.set(Answer(deltas=1))

    def set(self, answer: Answer) -> None:
        """Answer like this from now on; streams that are paced go on."""
        self.answer, self.chunks, self.late_s = answer, encode(answer), 0.0
        self.held: list[Stream] = []


class Stream:
    """A streamed answer that has begun."""

    def __init__(self, upstream: Upstream, writer: StreamWriter) -> None:
        self._upstream, self._writer, self._interval_s = (
            upstream,
            writer,
            upstream.answer.interval_s,
        )
        self._deltas, self._closing = iter(upstream.chunks.deltas), upstream.chunks.closing
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def send(self) -> None:
        """Send the deltas: all at once, or one in each interval, streams spread evenly over it."""
        if not self._interval_s:
            self._writer.write(b"".join(self._deltas) + self._closing)
            self.ended.set_result(None)
            return
        self._upstream.n_paced += 1
        share = self._upstream.n_paced * TICK_S % self._interval_s
        self._due_s = self._loop.time() + share
        self._loop.call_at(self._due_s, self._send_delta)

    def _send_delta(self) -> None:
        late_s = self._loop.time() - self._due_s
        self._upstream.late_s = max(self._upstream.late_s, late_s)
        delta = next(self._deltas, None)
        if self._writer.transport.is_closing() or delta is None:
            self._writer.write(self._closing)
            self.ended.set_result(None)
            return
        self._writer.write(delta)
        self._due_s += self._interval_s
        self._loop.call_at(self._due_s, self._send_delta)


async def answer(upstream: Upstream, line: bytes, body: bytes, writer: StreamWriter) -> None:
    """Answer one request, to its end."""
    if not line.startswith(b"POST /v1/"):
        body = json.dumps(control(upstream, line, body)).encode()
        writer.write(JSON_HEAD % len(body) + body)
        return
    if len(body) >= LARGE_BYTES:
        upstream.large_body = body
    if not ASKS_STREAM.search(body[:ENDS_BYTES] + body[-ENDS_BYTES:]):
        writer.write(JSON_HEAD % len(upstream.chunks.whole) + upstream.chunks.whole)
        return
    stream = Stream(upstream, writer)
    writer.write(STREAM_HEAD + upstream.chunks.opening)
    if upstream.answer.held:
        upstream.held.append(stream)
    else:
        stream.send()
    await stream.ended


def control(upstream: Upstream, line: bytes, body: bytes) -> dict[str, Any]:
    """Obey a control request; returns what it answers."""
    if line.startswith(b"PUT /answer "):
        upstream.set(Answer(**json.loads(body)))
    elif line.startswith(b"POST /go "):
        for stream in upstream.held:
            stream.send()
    found = DATA_URL.search(upstream.large_body) if line.startswith(b"GET ") else None
    digest = hashlib.sha256(base64.b64decode(found[1])).hexdigest() if found else ""
    return {"picture_sha256": digest, "late_ms": upstream.late_s * 1000}


async def main() -> None:
    """Serve on a port of loopback until ended by a signal."""
    upstream = Upstream()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                await answer(upstream, head.partition(b"\r\n")[0], body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    port = int(sys.argv[1])
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4_096, limit=READ_BYTES)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
