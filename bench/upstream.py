"""`python -m bench.upstream PORT`: the bench's upstream, a process that does as little as possible.

It answers every POST as was set last, from bytes made before the run, and looks into a body only
for whether a stream is asked for. Control requests:

    PUT  /answer  set the answer from now on; the body is an `Answer` as JSON
    POST /go      release the held streams
    GET  /stats   the size of the last body, and how late the clock was at most

`events.txt` has the events as DashScope frames them: no space behind the colons, a status comment
inside every event. The seventh is the delta, which is repeated.
"""

import asyncio
import json
import re
import sys
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

EVENTS = (Path(__file__).parent / "events.txt").read_text(encoding="utf-8").split("\n\n")[:-1]
AHEAD, BEHIND = 6, 4  # events before the deltas and after them
WORD = "w{:05d} "  # the text of a delta; every one is different, so a lost one is noticed
MODEL = "qwen3.7-plus"
LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
ASKS_STREAM = re.compile(rb'"stream": ?true')
ENDS_BYTES = 4_096  # of a body's beginning and end, where `"stream"` stands
READ_BYTES = 2**20
TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer: `interval_s` between two deltas (0: none); `held` until released."""

    deltas: int
    interval_s: float = 0
    held: bool = False

    @property
    def text(self) -> str:
        return "".join(map(WORD.format, range(self.deltas)))


def events(answer: Answer) -> list[bytes]:
    """The events of an answer, numbered, each with its blank line."""
    deltas = [EVENTS[AHEAD].replace("TOKEN", WORD.format(n)) for n in range(answer.deltas)]
    closing = [event.replace("TEXT", answer.text) for event in EVENTS[-BEHIND:]]
    return [
        event.replace("NUMBER", f"{n + 1}").replace("SEQUENCE", f"{n}").encode() + b"\n\n"
        for n, event in enumerate(EVENTS[:AHEAD] + deltas + closing)
    ]


class Upstream:
    """The answer in force, in HTTP chunks, and `whole` where no stream was asked for."""

    def __init__(self) -> None:
        self.body_bytes, self.n_paced = 0, 0
        self.set(Answer(deltas=1))

    def set(self, answer: Answer) -> None:
        """Answer like this from now on; streams that are paced go on."""
        made = events(answer)
        chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in made]
        self.opening, self.deltas = b"".join(chunks[:AHEAD]), chunks[AHEAD:-BEHIND]
        self.closing = b"".join(chunks[-BEHIND:]) + LAST_CHUNK
        completed = json.loads(made[-1].partition(b"\ndata:")[2])
        self.whole = json.dumps(completed["response"], separators=(",", ":")).encode()
        self.answer, self.late_s, self.held = answer, 0.0, list[Stream]()


class Stream:
    """A streamed answer that has begun."""

    def __init__(self, upstream: Upstream, writer: StreamWriter) -> None:
        self._upstream, self._writer = upstream, writer
        self._interval_s = upstream.answer.interval_s
        self._deltas, self._closing = iter(upstream.deltas), upstream.closing
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def send(self) -> None:
        """Send the deltas: all at once, or one in each interval, streams spread evenly over it."""
        if not self._interval_s:
            self._writer.write(b"".join(self._deltas) + self._closing)
            self.ended.set_result(None)
            return
        self._upstream.n_paced += 1
        self._due_s = self._loop.time() + self._upstream.n_paced * TICK_S % self._interval_s
        self._loop.call_at(self._due_s, self._send_delta)

    def _send_delta(self) -> None:
        self._upstream.late_s = max(self._upstream.late_s, self._loop.time() - self._due_s)
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
    upstream.body_bytes = len(body)
    if not ASKS_STREAM.search(body[:ENDS_BYTES] + body[-ENDS_BYTES:]):
        writer.write(JSON_HEAD % len(upstream.whole) + upstream.whole)
        return
    stream = Stream(upstream, writer)
    writer.write(STREAM_HEAD + upstream.opening)
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
    return {"body_bytes": upstream.body_bytes, "late_ms": upstream.late_s * 1000}


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
