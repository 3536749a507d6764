"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from prometheus_client import Gauge
from sse_starlette import ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.models import Event
from app.runs import Reader

RETRY_MS = 2_000
"""How long a browser waits before it reconnects after a break."""

PIECE_BYTES = 65_536
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


@lru_cache(maxsize=256)
def _before_data(event_type: str) -> bytes:
    return f"event: {event_type}\ndata: ".encode()


def frame(event: Event, id_line: bytes = b"") -> Iterable[bytes]:
    """The frame of an event, its data byte for byte; a large one in pieces.

    The `id` comes last: some clients take it as soon as they read it, and after a break inside the
    frame they would resume behind an event that they never had.
    """
    head, tail = _before_data(event.type), b"\n" + id_line + b"\n"
    if len(event.data) > PIECE_BYTES:
        return _pieces(head, event.data, tail)
    if event.is_synthetic:
        text = ServerSentEvent(event.data.decode(), event=event.type, sep="\n").encode()
        return (text[:-1] + id_line + b"\n",)
    return (head + event.data.replace(b"\n", b"\ndata: ") + tail,)


def _pieces(head: bytes, data: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")
    yield tail


def encoder_of(search_id: str) -> Encoder:
    """Frames with the id by which a reader can resume behind the event."""
    prefix = f"id: {search_id}:".encode()
    return lambda event, number: frame(event, b"%b%d\n" % (prefix, number))


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
        retry_ms: int | None = None,
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
        self._unsent = [b"retry: %d\n" % retry_ms] if retry_ms else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        try:
            with self._streams_open.track_inprogress(), self._reader.run.log.watch() as grown:
                head = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **head})
                await self._follow(receive, send, grown)
        finally:
            self._reader.close()

    async def _follow(self, receive: Receive, send: Send, grown: asyncio.Event) -> None:
        log, leaving = self._reader.run.log, asyncio.create_task(_disconnected(receive))
        leaving.add_done_callback(lambda _: grown.set())
        heartbeat = Heartbeat(self._heartbeat_s, grown)
        try:
            while not leaving.done():
                grown.clear()
                sent = self._after
                for piece in self._new():
                    await send(_body(piece))
                    if leaving.done():
                        return
                if self._after != sent:
                    heartbeat.touch()
                elif log.closed:
                    await send(_body(b"", more=False))
                    return
                elif heartbeat.take():
                    await send(_body(KEEP_ALIVE))
                else:
                    await grown.wait()
        finally:
            heartbeat.stop()
            leaving.cancel()

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, piece = self._reader.run.log.events, self._unsent
        size = 0
        while self._after < len(events):
            event = events[self._after]
            self._after += 1
            for part in self._encode(event, self._after):
                piece.append(part)
                size += len(part)
                if size >= PIECE_BYTES:
                    yield b"".join(piece)
                    piece.clear()
                    size = 0
        if size:
            yield b"".join(piece)
            piece.clear()


class Heartbeat:
    """Wakes the sender after a silence. Its timer is set when it fires, not for each event."""

    def __init__(self, after_s: float, wake: asyncio.Event) -> None:
        self._after_s = after_s
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._due = False
        self._timer = self._loop.call_later(after_s, self._fire) if after_s else None

    def touch(self) -> None:
        """Begin the silence anew."""
        self._sent_at = self._loop.time()

    def take(self) -> bool:
        """Whether a sign of life is due; it is, once."""
        due, self._due = self._due, False
        return due

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _fire(self) -> None:
        left_s = self._sent_at + self._after_s - self._loop.time()
        if left_s <= 0:
            self._due, left_s = True, self._after_s
            self._sent_at = self._loop.time()
            self._wake.set()
        self._timer = self._loop.call_later(left_s, self._fire)


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
