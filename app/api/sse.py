"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from prometheus_client import Gauge
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

from app.errors import Draining
from app.models import Event
from app.runs import Reader, Run

logger = logging.getLogger(__name__)

RETRY_MS = 2_000
"""How long a browser waits before it comes back after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""Spread of the same at shutdown, so that not all come back at once."""

PIECE_BYTES = 4_096
"""An event is taken apart in such pieces: a reader that stalls in a large one holds two of them."""

READ_EVENTS = 256
"""Most events taken from a log at once, so that a reader that stalls holds no list of all."""

KEEP_ALIVE = b": keep-alive\n"
"""A comment line, not a block: openai-python takes a lone blank line for an empty event."""

Show = Callable[[Event], Iterable[bytes]]
"""How an event of a log is sent, in parts; nothing for one that is not."""

STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

# The runs end their streams themselves, each with a terminal event; see `Runs.drain`.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call] # not annotated


class LogStream(EventSourceResponse):
    """Follows a run for one reader and lets go of it however the connection ends.

    What the log gets is written in the same turn, by `imagesearch.write` where the server offers
    it (see `BodyWriter`). The task that answers the request only wakes up when the connection is
    full, when the log has ended, or when the reader has left.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        after: int,
        heartbeat_s: float,
        send_timeout_s: float,
        streams_open: Gauge,
        headers: dict[str, str],
        show: Show | None = None,
    ) -> None:
        super().__init__(
            iter(()),
            headers=STREAM_HEADERS | headers,
            ping=0,
            sep="\n",
            send_timeout=send_timeout_s or None,
        )
        self._reader = reader
        self._pieces = pieces(reader.run, after=after, show=show)
        self._heartbeat_s = heartbeat_s
        self._streams_open = streams_open
        self._loop = asyncio.get_running_loop()
        self._sleeper: asyncio.Future[None] | None = None
        self._unsent = b""
        self._full = False
        self._over = False
        self._gone = False
        self._broken: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the log ends, the reader leaves, or it takes nothing for too long."""
        extensions = scope.get("extensions") or {}
        self._write: Callable[[bytes], bool] = extensions.get("imagesearch.write", self._hold)
        self._abort: Callable[[], None] | None = extensions.get("imagesearch.abort")
        leaving = asyncio.create_task(_left(receive))
        leaving.add_done_callback(self._on_left)
        try:
            with self._streams_open.track_inprogress():
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                await self._follow(send)
        finally:
            leaving.cancel()
            self._reader.close()

    async def _follow(self, send: Send) -> None:
        with self._reader.run.log.read_by(self._pump), self._beating():
            self._pump()
            while not self._over or self._full:
                if self._full:
                    await self._make_room(send)
                else:
                    self._sleeper = self._loop.create_future()
                    await self._sleeper
        if self._broken:
            raise self._broken
        if not self._gone:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _pump(self) -> None:
        """Write what stands in the log and was not written yet, as long as it is taken."""
        try:
            while not self._full and (piece := next(self._pieces)):
                self._full = not self._write(piece)
        except StopIteration:
            self._over = True
        except Exception as exc:  # noqa: BLE001 - raised where the response is awaited
            self._broken, self._over = exc, True
        self._wrote_at = self._loop.time()
        if self._full or self._over:
            self._wake()

    def _hold(self, piece: bytes) -> bool:
        """Leave a piece to `send`, where a server offers nothing quicker."""
        self._unsent = piece
        return False

    async def _make_room(self, send: Send) -> None:
        """Wait until the reader has taken what was written, and go on."""
        piece, self._unsent = self._unsent, b""
        try:
            async with asyncio.timeout(self.send_timeout):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            self._drop()
            return
        self._full = False
        self._pump()

    def _drop(self) -> None:
        """Be rid of a reader that stalls; a plain close would wait for it to take what is sent."""
        logger.info("reader dropped: it took nothing for too long")
        self._full = False
        if self._abort:
            self._abort()
        else:
            self._on_left()

    def _on_left(self, _: object = None) -> None:
        self._gone = self._over = True
        self._full = False
        self._wake()

    def _wake(self) -> None:
        if self._sleeper and not self._sleeper.done():
            self._sleeper.set_result(None)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Send a comment line after every `heartbeat_s` seconds of silence."""
        if not self._heartbeat_s:
            yield
            return
        self._beat = self._loop.call_later(self._heartbeat_s, self._on_beat)
        try:
            yield
        finally:
            self._beat.cancel()

    def _on_beat(self) -> None:
        due_s = self._wrote_at + self._heartbeat_s - self._loop.time()
        if due_s <= 0:
            due_s = self._heartbeat_s
            if not self._full:
                self._full = not self._write(KEEP_ALIVE)
                self._wake()
        self._beat = self._loop.call_later(due_s, self._on_beat)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def pieces(run: Run, *, after: int, show: Show | None = None) -> Iterator[bytes]:
    """A run's log from behind event number `after` to its end, in pieces of bounded size.

    Empty where the log has no more as yet. With `show`, events look as that says, and bear
    nothing to come back with.
    """
    log = run.log
    buffer = bytearray() if show else bytearray(b"retry: %d\n" % RETRY_MS)
    while True:
        events = log.events[after : after + READ_EVENTS]
        if not events and log.closed:
            return
        for event in events:
            after += 1
            if show is None:
                parts = frame(event, f"{run.id}:{after}", retry_ms=retry_ms(run, event))
            else:
                parts = show(event)
            for part in parts:
                buffer += part
                if len(buffer) >= PIECE_BYTES:
                    yield taken(buffer)
        if not events:
            yield b""
        elif buffer:
            yield taken(buffer)


def taken(buffer: bytearray) -> bytes:
    """Empty a buffer first: what it held would be held twice while a reader stalls."""
    held = bytes(buffer)
    buffer.clear()
    return held


def frame(event: Event, event_id: str = "", *, retry_ms: int | None = None) -> Iterable[bytes]:
    """Frame one event in parts, a large one never as a whole; each line of its data as `data:`."""
    retry = f"retry: {retry_ms}\n" if retry_ms is not None else ""
    numbered = f"id: {event_id}\n" if event_id else ""
    head = f"{retry}{numbered}event: {event.type}\ndata: ".encode()
    if len(event.data) <= PIECE_BYTES:
        return (head, event.data.replace(b"\n", b"\ndata: "), b"\n\n")
    return chain((head,), _pieces(event.data), (b"\n\n",))


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")


def retry_ms(run: Run, event: Event) -> int | None:
    """Spread the readers' return when the service goes away under them."""
    if event.type == "search.failed" and isinstance(run.error, Draining):
        return random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
    return None
