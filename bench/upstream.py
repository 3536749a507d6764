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
    """The answer in force, the streams that are held, and those that are paced.

    One clock serves all paced streams: each is sent a delta in every interval, and they are spread
    evenly over it.
    """

    def __init__(self) -> None:
        self.large_body = b""
        self._slots: list[list[Stream]] = []
        self.set(Answer(deltas=1))

    def set(self, answer: Answer) -> None:
        """Answer like this from now on; streams that are paced go on."""
        self.answer, self.chunks = answer, encode(answer)
        self._held: list[Stream] = []
        if answer.interval_s or not self._slots:
            self.late_s, self._n_paced = 0.0, 0
            self._slots = [[] for _ in range(round(answer.interval_s / TICK_S) or 1)]

    def add(self, stream: "Stream") -> None:
        """Hold a stream, pace it, or send it at once, as the answer says."""
        if self.answer.held:
            self._held.append(stream)
        else:
            self._feed(stream)

    def release(self) -> None:
        for stream in self._held:
            self._feed(stream)

    async def run_clock(self) -> None:
        """Serve the slots of paced streams that are due; after a delay all that were missed."""
        loop = asyncio.get_running_loop()
        number, due_s = 0, loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            while (late_s := loop.time() - due_s) > 0:
                slot = self._slots[number % len(self._slots)]
                if slot:
                    self.late_s = max(self.late_s, late_s - TICK_S)
                slot[:] = [stream for stream in slot if stream.send_delta()]
                number, due_s = number + 1, due_s + TICK_S

    def _feed(self, stream: "Stream") -> None:
        if self.answer.interval_s:
            self._slots[self._n_paced % len(self._slots)].append(stream)
            self._n_paced += 1
        else:
            stream.send_all()


class Stream:
    """A streamed answer that has begun."""

    def __init__(self, writer: StreamWriter, deltas: tuple[bytes, ...], closing: bytes) -> None:
        self._writer, self._deltas, self._closing = writer, iter(deltas), closing
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send_delta(self) -> bool:
        """Send the next delta, or the end; whether there are more."""
        if self._writer.transport.is_closing():
            self.ended.set_result(None)
            return False
        delta = next(self._deltas, None)
        if delta is None:
            self.send_all()
            return False
        self._writer.write(delta)
        return True

    def send_all(self) -> None:
        self._writer.write(b"".join(self._deltas) + self._closing)
        self.ended.set_result(None)


async def answer(upstream: Upstream, line: bytes, body: bytes, writer: StreamWriter) -> None:
    """Answer one request, to its end."""
    if not line.startswith(b"POST /v1/"):
        writer.write(_json(json.dumps(control(upstream, line, body)).encode()))
        return
    if len(body) >= LARGE_BYTES:
        upstream.large_body = body
    if not ASKS_STREAM.search(body[:ENDS_BYTES] + body[-ENDS_BYTES:]):
        writer.write(_json(upstream.chunks.whole))
        return
    chunks = upstream.chunks
    stream = Stream(writer, chunks.deltas, chunks.closing)
    writer.write(STREAM_HEAD + chunks.opening)
    upstream.add(stream)
    await stream.ended


def control(upstream: Upstream, line: bytes, body: bytes) -> dict[str, Any]:
    """Obey a control request; returns what it answers."""
    if line.startswith(b"PUT /answer "):
        upstream.set(Answer(**json.loads(body)))
    elif line.startswith(b"POST /go "):
        upstream.release()
    found = DATA_URL.search(upstream.large_body) if line.startswith(b"GET ") else None
    digest = hashlib.sha256(base64.b64decode(found[1])).hexdigest() if found else ""
    return {"picture_sha256": digest, "late_ms": upstream.late_s * 1000}


def _json(body: bytes) -> bytes:
    return JSON_HEAD % len(body) + body


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
    await asyncio.start_server(serve, "127.0.0.1", port, backlog=4_096, limit=READ_BYTES)
    await upstream.run_clock()


if __name__ == "__main__":
    uvloop.run(main())
