"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Gauge
from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.disconnects import wait_unless_disconnected
from app.errors import Draining
from app.models import SYNTHETIC_PREFIX, Event
from app.runs import Reader, Run

RETRY_MS = 2_000
"""How long a browser waits before it reconnects after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""The same after a shutdown, spread so that not all readers come back at once."""

CUT_MS = 100
"""The same where another replica goes on with the search."""

BEYOND = 1_000_000_000
"""Number under which a reader gets a lost search's end who has seen more than is left of its log:
no log is as long, and the next return with it finds nothing more."""

PIECE_BYTES = 8_192
"""Size of one `send`, about; it bounds what a stalled reader keeps in memory."""

KEEP_ALIVE = {"type": "http.response.body", "body": b": keep-alive\n", "more_body": True}
"""A comment line, not a block: openai-python takes a lone blank line for an empty event."""

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

Encoder = Callable[[Event, int], Iterable[bytes]]
"""The frame of an event, given its number in the log, in pieces; none if it is not sent."""


def frame(event: Event, last_lines: bytes = b"") -> Iterable[bytes]:
    """The frame of an event, its data byte for byte; a large one in pieces.

    The `id` comes last: some clients take it as soon as they read it, and after a break inside the
    frame they would resume behind an event that they never had.
    """
    if len(event.data) > PIECE_BYTES:
        return _pieces(event, last_lines)
    if event.type.startswith(SYNTHETIC_PREFIX):
        text = ServerSentEvent(event.data.decode(), event=event.type, sep="\n").encode()
        return (text[:-1] + last_lines + b"\n",)
    data = event.data.replace(b"\n", b"\ndata: ")
    return (b"event: %b\ndata: %b\n%b\n" % (event.type.encode(), data, last_lines),)


def _pieces(event: Event, last_lines: bytes) -> Iterator[bytes]:
    yield b"event: %b\ndata: " % event.type.encode()
    for start in range(0, len(event.data), PIECE_BYTES):
        yield event.data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")
    yield b"\n%b\n" % last_lines


def search_encoder(run: Run, after: int) -> Encoder:
    """Frames with the id by which a reader can resume; the first behind `after` says `retry`."""
    run_id = run.id.encode()

    def encode(event: Event, number: int) -> Iterable[bytes]:
        is_last = run.log.closed and number >= len(run.log.events)
        if is_last and run.cut:
            return (b"retry: %d\n\n" % CUT_MS,)
        mark = b"0" if is_last and run.log.lost else b""
        last_lines = b"id: %b:%b%d\n" % (run_id, mark, number)
        if event.type == "search.failed" and isinstance(run.error, Draining):
            retry_ms = random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
            last_lines = b"retry: %d\n%b" % (retry_ms, last_lines)
        elif number == after + 1:
            last_lines = b"retry: %d\n%b" % (RETRY_MS, last_lines)
        return frame(event, last_lines)

    return encode


def is_lost_end(number: str) -> bool:
    """Whether this number in an id is that of the end of a lost search.

    Such an end took the number of an event that some readers had seen before. So the end has a 0
    in front of it: who comes back without the 0 has seen that event, and not the end.
    """
    return len(number) > 1 and number.startswith("0")


class EventStream(Response):
    """Sends a run's log to one reader, from behind event number `after`, and closes the reader.

    `on_end` is called when the reader has had the last event.

    It has no `media_type`: FastAPI would document a text beside the union of events.
    """

    def __init__(
        self,
        reader: Reader,
        status_code: int = 200,
        *,
        encode: Encoder,
        heartbeat_s: float,
        streams_open: Gauge,
        after: int = 0,
        headers: dict[str, str] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = None
        self.init_headers(STREAM_HEADERS | (headers or {}))
        self._reader = reader
        self._encode = encode
        self._heartbeat_s = heartbeat_s
        self._streams_open = streams_open
        self._after = after
        self._last: Event | None = None
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        try:
            with self._streams_open.track_inprogress():
                await send({"type": "http.response.start", **head})
                # In a task of its own: waking up this one passes through each middleware's frame.
                await wait_unless_disconnected(Request(scope, receive), self._follow(send))
        finally:
            self._reader.close()

    async def _follow(self, send: Send) -> None:
        log = self._reader.run.log
        while not log.closed or self._after < len(log.events):
            for piece in self._new():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = b""  # noqa: PLW2901 - or it would be held until the next one
            if log.closed or self._after < len(log.events):
                continue
            growth = log.growth()
            while self._heartbeat_s and not growth.done():
                if not (await asyncio.wait({growth}, timeout=self._heartbeat_s))[0]:
                    await send(KEEP_ALIVE)
            await growth
        for piece in self._overtaken():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        if self._on_end:
            self._on_end()

    def _overtaken(self) -> Iterable[bytes]:
        """The last event, for a reader whose number is beyond it, so that it has not got it."""
        log = self._reader.run.log
        if not log.events or log.events[-1] is self._last:
            return ()
        if self._after == len(log.events) and not log.lost:
            return ()
        return self._encode(log.events[-1], BEYOND if log.lost else len(log.events))

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, parts, n_bytes = self._reader.run.log.events, list[bytes](), 0
        while self._after < len(events):
            event = events[self._after]
            self._after += 1
            self._last = event
            for part in self._encode(event, self._after):
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, n_bytes = [], 0
        if parts:
            yield b"".join(parts)
