"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Gauge
from sse_starlette import ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.disconnects import disconnected
from app.errors import Draining
from app.models import Event
from app.runs import Reader, Run

RETRY_MS = 2_000
"""How long a browser waits before it reconnects after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""The same after a shutdown, spread so that not all readers come back at once."""

PIECE_BYTES = 8_192
"""Most bytes of one `send`, about: what a reader that stalls holds of the log."""

KEEP_ALIVE = b": keep-alive\n"
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
    if event.is_synthetic:
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

    def encode(event: Event, number: int) -> Iterable[bytes]:
        last_lines = f"id: {run.id}:{number}\n"
        if event.type == "search.failed" and isinstance(run.error, Draining):
            retry_ms = random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
            last_lines = f"retry: {retry_ms}\n{last_lines}"
        elif number == after + 1:
            last_lines = f"retry: {RETRY_MS}\n{last_lines}"
        return frame(event, last_lines.encode())

    return encode


class EventStream(Response):
    """Sends a run's log to one reader, from behind event number `after`, and closes the reader.

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
    ) -> None:
        self.status_code = status_code
        self.background = None
        self.init_headers(STREAM_HEADERS | (headers or {}))
        self._reader = reader
        self._encode = encode
        self._heartbeat_s = heartbeat_s
        self._streams_open = streams_open
        self._after = after

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        leaving = asyncio.create_task(disconnected(receive))
        try:
            with self._streams_open.track_inprogress(), self._reader.run.log.watch() as grown:
                leaving.add_done_callback(lambda _: grown.set())
                head = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **head})
                await self._follow(send, grown, leaving)
        finally:
            leaving.cancel()
            self._reader.close()

    async def _follow(self, send: Send, grown: asyncio.Event, leaving: asyncio.Task[None]) -> None:
        loop, log = asyncio.get_running_loop(), self._reader.run.log
        while not leaving.done():
            grown.clear()
            for piece in self._new():
                await send(_body(piece))
                if leaving.done():
                    return
            if log.closed:
                await send(_body(b"", more=False))
                return
            timer = loop.call_later(self._heartbeat_s, grown.set) if self._heartbeat_s else None
            await grown.wait()
            if timer:
                timer.cancel()
                if not (self._after < len(log.events) or self._reader.run.ended or leaving.done()):
                    await send(_body(KEEP_ALIVE))

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, parts, n_bytes = self._reader.run.log.events, list[bytes](), 0
        while self._after < len(events):
            self._after += 1
            for part in self._encode(events[self._after - 1], self._after):
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, n_bytes = [], 0
        if parts:
            yield b"".join(parts)


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
