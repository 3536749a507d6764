"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from sse_starlette import ServerSentEvent
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.service import Service
from app.errors import ServiceError
from app.models import Event
from app.runs import Reader, Run

# How long a browser waits before it reconnects:
RETRY_MS = 2_000  # After a break.
CUT_MS = 100  # Where another replica goes on with the search.

PIECE_BYTES = 8_192  # Of one `send`, about; it bounds what a stalled reader keeps in memory.

# A comment line, not a block: openai-python takes a lone blank line for an empty event.
KEEP_ALIVE = b": keep-alive\n"

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

NOTICED_TURNS = 3
"""Turns of the event loop until a connection that is closed already has been noticed."""
First = Callable[[], Awaitable[None]] | None  # What a stream's head waits for.
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
    run_id = run.id.encode()

    def encode(event: Event, number: int) -> Iterable[bytes]:
        is_last = run.log.closed and number >= len(run.log.events)
        if is_last and run.cut:
            return (b"retry: %d\n\n" % CUT_MS,)
        last_lines = b"id: %b:%d\n" % (run_id, run.last_number if is_last else number)
        if number == after + 1:
            last_lines = b"retry: %d\n%b" % (RETRY_MS, last_lines)
        return frame(event, last_lines)

    return encode


@asynccontextmanager
async def unless_disconnected(receive: Receive) -> AsyncIterator[None]:
    """If the client leaves, cancel what is inside and raise `ClientDisconnect`.

    The body must have been read.
    """
    task, has_left = asyncio.current_task(), False

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            pass
        has_left = bool(task and task.cancel())

    watching = asyncio.create_task(watch())
    try:
        for _ in range(NOTICED_TURNS):
            await asyncio.sleep(0)
        yield
    except asyncio.CancelledError:
        # A cancellation by somebody else goes on.
        if has_left and task and not task.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()


class EventStream(Response):
    """Sends a run's log to one reader, from behind event number `after`, and closes the reader.

    The head waits for `first`, whose failure has a status of its own. A comment is sent after
    `heartbeat_s` of silence (0: never). `on_end` is called when the reader has had the last event,
    or `first` failed. Without a `media_type`: FastAPI would document a text beside the union.
    """

    def __init__(
        self,
        service: Service,
        reader: Reader,
        status_code: int = 200,
        *,
        encode: Encoder,
        first: First = None,
        after: int = 0,
        heartbeat_s: float | None = None,
        headers: dict[str, str] | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.status_code, self.background = status_code, None
        self.init_headers(STREAM_HEADERS | (headers or {}))
        self._service, self._reader, self._log = service, reader, reader.run.log
        self._encode, self._first, self._after, self._on_end = encode, first, after, on_end
        default_s = service.settings.stream_heartbeat_s
        self._heartbeat_s = default_s if heartbeat_s is None else heartbeat_s
        self._last: Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        # In a task of its own: waking up this one passes through each middleware's frame.
        following = asyncio.create_task(self._follow(send))
        try:
            async with unless_disconnected(receive):
                await following
        except ServiceError:
            self._on_end()
            raise
        finally:
            self._reader.close()

    async def _follow(self, send: Send) -> None:
        if self._first:
            await self._first()
        head = {"status": self.status_code, "headers": self.raw_headers}
        with self._service.metrics.streams_open.track_inprogress():
            await send({"type": "http.response.start", **head})
            await self._send_events(send)
            await send({"type": "http.response.body"})
        self._on_end()

    async def _send_events(self, send: Send) -> None:
        async def send_piece(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        log = self._log
        while not log.closed or self._after < len(log.events):
            for piece in self._new():
                await send_piece(piece)
                piece = b""  # noqa: PLW2901 - or it would be held until the next one
            if log.closed or self._after < len(log.events):
                continue
            growth = log.growth()
            while self._heartbeat_s and not growth.done():
                if not (await asyncio.wait({growth}, timeout=self._heartbeat_s))[0]:
                    await send_piece(KEEP_ALIVE)
            await growth
        for piece in self._overtaken():
            await send_piece(piece)

    def _overtaken(self) -> Iterable[bytes]:
        """The last event, for a reader whose number is beyond it, so that it has not got it."""
        events = self._log.events
        missed = events and events[-1] is not self._last
        if missed and max(self._after, self._reader.run.last_number) > len(events):
            return self._encode(events[-1], len(events))
        return ()

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, parts, n_bytes = self._log.events, list[bytes](), 0
        while self._after < len(events):
            self._last = events[self._after]
            self._after += 1
            for part in self._encode(self._last, self._after):
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, n_bytes = [], 0
        if parts:
            yield b"".join(parts)
