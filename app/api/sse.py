"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from prometheus_client import Gauge
from sse_starlette import ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.errors import Draining
from app.models import Event
from app.runs import Reader, Run

RETRY_MS = 2_000
"""How long a browser waits before it reconnects after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""The same after a shutdown, spread so that not all readers come back at once."""

PIECE_BYTES = 65_536
"""Most bytes of one `send`, about: what a reader that stalls holds of the log."""

MIN_TIMER_S = 0.1
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


def frame(event: Event, last_lines: bytes = b"") -> Iterable[bytes]:
    """The frame of an event, its data byte for byte; a large one in pieces.

    The `id` comes last: some clients take it as soon as they read it, and after a break inside the
    frame they would resume behind an event that they never had.
    """
    head, tail = _before_data(event.type), b"\n" + last_lines + b"\n"
    if len(event.data) > PIECE_BYTES:
        return _pieces(head, event.data, tail)
    if event.is_synthetic:
        text = ServerSentEvent(event.data.decode(), event=event.type, sep="\n").encode()
        return (text[:-1] + last_lines + b"\n",)
    return (head + event.data.replace(b"\n", b"\ndata: ") + tail,)


def _pieces(head: bytes, data: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")
    yield tail


def encoder_of(run: Run) -> Encoder:
    """Frames with the id by which a reader can resume behind the event."""
    prefix = f"id: {run.id}:".encode()

    def encode(event: Event, number: int) -> Iterable[bytes]:
        last_lines = b"%b%d\n" % (prefix, number)
        if event.type == "search.failed" and isinstance(run.error, Draining):
            retry_ms = random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
            last_lines = b"retry: %d\n%b" % (retry_ms, last_lines)
        return frame(event, last_lines)

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

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        try:
            with self._streams_open.track_inprogress(), self._reader.run.log.watch() as grown:
                head = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **head})
                await self._follow(receive, send, grown)
        finally:
            self._reader.close()

    async def _follow(self, receive: Receive, send: Send, grown: asyncio.Event) -> None:
        loop, log = asyncio.get_running_loop(), self._reader.run.log
        leaving = asyncio.create_task(_disconnected(receive))
        leaving.add_done_callback(lambda _: grown.set())
        sent_at, timer = loop.time(), None

        def wake_after_silence() -> None:
            """Set again when it fires, not for each event."""
            nonlocal timer
            left_s = sent_at + self._heartbeat_s - loop.time()
            if left_s <= 0:
                grown.set()
            timer = loop.call_later(max(left_s, MIN_TIMER_S), wake_after_silence)

        if self._heartbeat_s:
            wake_after_silence()
        try:
            while not leaving.done():
                grown.clear()
                if await self._send_new(send, leaving):
                    sent_at = loop.time()
                elif log.closed:
                    await send(_body(b"", more=False))
                    return
                elif timer and loop.time() >= sent_at + self._heartbeat_s:
                    await send(_body(KEEP_ALIVE))
                    sent_at = loop.time()
                else:
                    await grown.wait()
        finally:
            if timer:
                timer.cancel()
            leaving.cancel()

    async def _send_new(self, send: Send, leaving: asyncio.Task[None]) -> bool:
        """Send what the reader has not had yet; whether that was anything."""
        sent = False
        for piece in self._new():
            await send(_body(piece))
            sent = True
            if leaving.done():
                break
        return sent

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


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
