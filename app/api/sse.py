"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain

from sse_starlette import ServerSentEvent
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.dependencies import Call
from app.errors import ServiceError
from app.models import Event
from app.runs.run import Reader, Run

# How long a browser waits before it reconnects:
RETRY_MS = 2_000  # After a break.
CUT_MS = 100  # Where another replica goes on with the search.

PIECE_BYTES = 8_192  # Of one `send`, about; it bounds what a stalled reader keeps in memory.

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
NOTICED_TURNS = 4  # Of the event loop, until a connection that is closed already is noticed.

Encoder = Callable[[Event, int], Iterable[bytes]]
"""The frame of an event, given its number in the log, in pieces; none if it is not sent."""


def frame(event: Event, last_lines: bytes = b"") -> Iterable[bytes]:
    """The frame of an event, its data byte for byte; a large one in pieces.

    The `id` comes last: some clients take it as soon as they read it, and after a break inside the
    frame they would resume behind an event that they never had.
    """
    if len(event.data) > PIECE_BYTES:
        starts = range(0, len(event.data), PIECE_BYTES)
        pieces = (event.data[start : start + PIECE_BYTES] for start in starts)
        lines = (piece.replace(b"\n", b"\ndata: ") for piece in pieces)
        return chain([b"event: %b\ndata: " % event.type.encode()], lines, [b"\n%b\n" % last_lines])
    if event.is_synthetic:
        text = ServerSentEvent(event.data.decode(), event=event.type, sep="\n").encode()
        return (text[:-1] + last_lines + b"\n",)
    data = event.data.replace(b"\n", b"\ndata: ")
    return (b"event: %b\ndata: %b\n%b\n" % (event.type.encode(), data, last_lines),)


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
    """If the client leaves, whose body was read, cancel what is inside: `ClientDisconnect`."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        presence.reschedule(0)

    watching = asyncio.create_task(watch())
    try:
        async with asyncio.timeout(None) as presence:
            for _ in range(NOTICED_TURNS):
                await asyncio.sleep(0)
            yield
    except TimeoutError:
        if presence.expired():
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()


class EventStream(Response):
    """Sends a run's log to one reader, from behind event number `after`, and closes the reader.

    The head waits for the first upstream event, `commit_s` at most (0: for the admission only,
    `None`: for nothing); a failure until then has a status of its own. `on_end` is called after
    such a failure, and after the last event. Without `media_type`, which FastAPI would document.
    """

    def __init__(
        self,
        call: Call,
        reader: Reader,
        status_code: int = 200,
        *,
        encode: Encoder | None = None,
        commit_s: float | None = None,
        after: int = 0,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.status_code, self.background = status_code, None
        settings, run = call.service.settings, reader.run
        self.init_headers(STREAM_HEADERS)
        if run.listed:
            self.headers["Location"] = f"{call.address_of(run)}/stream"
        self._open_streams, self._reader = call.service.metrics.streams_open, reader
        self._encode, self._after = encode or search_encoder(run, after), after
        self._commit_s, self._on_end = commit_s, on_end
        # A search gives signs of life by itself.
        is_alive = run.listed and settings.stream_progress_s
        self._heartbeat_s = 0 if is_alive else settings.stream_heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send until the log ends or the reader leaves; the kernel drops one that stalls."""
        try:
            async with unless_disconnected(receive):
                # In a task of its own: waking up this one passes through each middleware's frame.
                await asyncio.create_task(self._follow(send))
        except ServiceError:
            self._on_end()
            raise
        finally:
            self._reader.close()

    async def _follow(self, send: Send) -> None:
        run, log, began_after = self._reader.run, self._reader.run.log, self._after
        if self._commit_s is not None:
            await (run.first_event(self._commit_s) if self._commit_s else run.admitted())
        head = {"status": self.status_code, "headers": self.raw_headers}
        with self._open_streams.track_inprogress():
            await send({"type": "http.response.start", **head})
            while not log.closed or self._after < len(log.events):
                for piece in self._new():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = b""  # noqa: PLW2901 - or it would be held until the next one
                if log.closed or self._after < len(log.events):
                    continue
                growth = log.growth()
                while self._heartbeat_s and not growth.done():
                    if not (await asyncio.wait({growth}, timeout=self._heartbeat_s))[0]:
                        # No block: openai-python takes a lone blank line for an empty event.
                        beat = {"body": b": keep-alive\n", "more_body": True}
                        await send({"type": "http.response.body", **beat})
                await growth
            last, count = b"", len(log.events)
            if self._after == began_after and max(began_after, run.last_number) > count > 0:
                # The reader had more events than are left of a lost run, but never its end.
                last = b"".join(self._encode(log.events[-1], count))
            await send({"type": "http.response.body", "body": last})
        self._on_end()

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, parts, n_bytes = self._reader.run.log.events, list[bytes](), 0
        while self._after < len(events):
            event = events[self._after]
            self._after += 1
            for part in self._encode(event, self._after):
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, n_bytes = [], 0
        if parts:
            yield b"".join(parts)
