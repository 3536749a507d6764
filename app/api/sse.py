"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import chain
from typing import Self

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

KEEP_ALIVE = b": keep-alive\n"
"""A comment line, not a block: openai-python takes a lone blank line for an empty event."""

Show = Callable[[Event], Iterable[bytes]]
"""How an event of a log is sent, in parts; nothing for one that is not."""

STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

# The runs end their streams themselves, each with a terminal event; see `Runs.drain`.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call] # not annotated


class LogStream(EventSourceResponse):
    """Follows a run for one reader and lets go of it however the connection ends.

    Sends by itself: the library's way, a cancel scope around every event, cost as much as the
    rest of what an event takes here.
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
        self._pieces = frames(reader.run, after=after, heartbeat_s=heartbeat_s, show=show)
        super().__init__(
            self._pieces,
            headers=STREAM_HEADERS | headers,
            ping=0,
            sep="\n",
            send_timeout=send_timeout_s or None,
        )
        self._reader = reader
        self._streams_open = streams_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the log ends, the reader leaves, or it takes nothing for too long."""
        leaving = asyncio.create_task(_left(receive))
        sending = asyncio.create_task(self._send(send, Stall(self.send_timeout, scope)))
        with self._streams_open.track_inprogress():
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    sending.cancel()
                    await asyncio.wait({sending})
            finally:
                sending.cancel()
                leaving.cancel()
                self._reader.close()
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send, stall: "Stall") -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        async with stall, aclosing(self._pieces) as pieces:
            async for piece in pieces:
                stall.begins()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                stall.ends()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Stall:
    """Drops a connection on which a send takes longer than `limit_s` seconds.

    Aborted, where the server offers that: a plain close would wait for the stalled peer to take
    what is buffered for it. One timer serves a whole stream, and is put off when it rings early.
    """

    def __init__(self, limit_s: float | None, scope: Scope) -> None:
        self._limit_s = limit_s or math.inf
        self._abort: Callable[[], None] | None = scope.get("extensions", {}).get(
            "imagesearch.abort"
        )
        self._loop = asyncio.get_running_loop()
        self._since = math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._wind(self._loop.time())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def begins(self) -> None:
        """A send begins."""
        self._since = self._loop.time()

    def ends(self) -> None:
        """It was taken."""
        self._since = math.inf

    def _wind(self, since: float) -> None:
        if self._limit_s < math.inf:
            self._timer = self._loop.call_at(since + self._limit_s, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if self._since + self._limit_s > now:
            self._wind(min(self._since, now))
            return
        logger.info("reader dropped: it took nothing for too long")
        if self._abort:
            self._abort()
        elif self._task:
            self._task.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(
    run: Run, *, after: int, heartbeat_s: float, show: Show | None = None
) -> AsyncGenerator[bytes, None]:
    """Follow a run from behind event number `after` to its end, in pieces of bounded size.

    A comment line is sent after every `heartbeat_s` seconds of silence (0: never). With `show`,
    events look as that says, and bear nothing to come back with.
    """
    buffer = bytearray() if show else bytearray(b"retry: %d\n" % RETRY_MS)
    while True:
        events = await run.log.read(after, within_s=heartbeat_s or None)
        if not events and run.log.closed:
            return
        if not events:
            yield KEEP_ALIVE
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
        if buffer and events:
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
