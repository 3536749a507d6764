"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass

from sse_starlette import ServerSentEvent
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.dependencies import Call
from app.errors import ServiceError
from app.models import Event
from app.runs.run import Reader

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


def frame(event: Event, last_lines: bytes = b"") -> Iterator[bytes]:
    """The frame of an event, its data byte for byte; a large one in pieces.

    The `id` comes last: some clients take it as soon as they read it, and after a break inside the
    frame they would resume after an event that they never had.
    """
    if len(event.data) > PIECE_BYTES:
        yield b"event: %b\ndata: " % event.type.encode()
        for start in range(0, len(event.data), PIECE_BYTES):
            yield event.data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")
        yield b"\n%b\n" % last_lines
    elif event.is_synthetic:
        text = ServerSentEvent(event.data.decode(), event=event.type, sep="\n").encode()
        yield text[:-1] + last_lines + b"\n"
    else:
        data = event.data.replace(b"\n", b"\ndata: ")
        yield b"event: %b\ndata: %b\n%b\n" % (event.type.encode(), data, last_lines)


@asynccontextmanager
async def unless_disconnected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block, and raise `ClientDisconnect`, if a client leaves whose body was read."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.reschedule(0)

    watching = asyncio.create_task(watch())
    try:
        # Without a limit; moved to 0 it cancels the block.
        async with asyncio.timeout(None) as scope:
            for _ in range(NOTICED_TURNS):
                await asyncio.sleep(0)
            yield
    except TimeoutError:
        if scope.expired():
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()


@dataclass(eq=False)
class EventStream(Response):
    """Sends a run's log to one reader, after event number `after`, and closes the reader.

    The head waits for the first upstream event, `commit_s` at most (0: for the admission only,
    `None`: for nothing); a failure until then has a status of its own. `on_end` is called after
    such a failure, and after the last event. `encode` makes the pieces of a frame of an event and
    its number in the log, none if it is not sent. No `media_type`: FastAPI would document it.
    """

    call: Call
    reader: Reader
    status_code: int = 200
    _: KW_ONLY
    encode: Callable[[Event, int], Iterable[bytes]] | None = None
    commit_s: float | None = None
    after: int = 0
    on_end: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        settings, run = self.call.service.settings, self.reader.run
        self.background = None
        self.init_headers(STREAM_HEADERS)
        if run.listed:
            self.headers["Location"] = f"{self.call.address_of(run)}/stream"
        self._began_after = self.after
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
            self.on_end()
            raise
        finally:
            self.reader.close()

    async def _follow(self, send: Send) -> None:
        run, log = self.reader.run, self.reader.run.log
        if self.commit_s is not None:
            await (run.first_event(self.commit_s) if self.commit_s else run.admitted())
        head = {"status": self.status_code, "headers": self.raw_headers}
        with self.call.service.metrics.streams_open.track_inprogress():
            await send({"type": "http.response.start", **head})
            while not log.closed or self.after < len(log.events):
                for piece in self._new():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = b""  # noqa: PLW2901 - or it would be held until the next one
                if log.closed or self.after < len(log.events):
                    continue
                limit_s = self._heartbeat_s
                try:  # No `wait_for`: in Python 3.11 its task begins to wait a turn too late.
                    async with asyncio.timeout(limit_s) if limit_s else nullcontext():
                        await log.grown.wait()
                except TimeoutError:
                    # No block: openai-python takes a lone blank line for an empty event.
                    beat = {"body": b": keep-alive\n", "more_body": True}
                    await send({"type": "http.response.body", **beat})
            last, count = b"", len(log.events)
            if self.after == self._began_after and max(self.after, run.last_number) > count > 0:
                # The reader had more events than are left of a lost run, but never its end.
                last = b"".join(self._encode(log.events[-1], count))
            await send({"type": "http.response.body", "body": last})
        self.on_end()

    def _new(self) -> Iterator[bytes]:
        """What the reader has not had of the log, in pieces of about `PIECE_BYTES`."""
        events, parts, n_bytes = self.reader.run.log.events, list[bytes](), 0
        while self.after < len(events):
            event = events[self.after]
            self.after += 1
            for part in self._encode(event, self.after):
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, n_bytes = [], 0
        if parts:
            yield b"".join(parts)

    def _encode(self, event: Event, number: int) -> Iterable[bytes]:
        """A frame, of a search with the id to resume by; the first of a stream says `retry`."""
        if self.encode:
            return self.encode(event, number)
        run = self.reader.run
        is_last = run.log.closed and number >= len(run.log.events)
        if is_last and run.cut:
            return (b"retry: %d\n\n" % CUT_MS,)
        last_lines = b"id: %b:%d\n" % (run.id.encode(), run.last_number if is_last else number)
        if number == self._began_after + 1:
            last_lines = b"retry: %d\n%b" % (RETRY_MS, last_lines)
        return frame(event, last_lines)
