"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

from prometheus_client import Gauge
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus, SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.errors import Draining
from app.models import Event
from app.runs import Reader, Run

RETRY_MS = 2_000
"""How long a browser waits before it comes back after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""Spread of the same at shutdown, so that not all come back at once."""

PIECE_BYTES = 8_192
"""An event is taken apart in such pieces: a reader that stalls in a large one holds two of them."""

KEEP_ALIVE = b": keep-alive\n"
"""A comment line, not a block: openai-python takes a lone blank line for an empty event."""

Show = Callable[[Event], Iterable[bytes]]
"""How an event of a log is sent, in parts; nothing for one that is not."""

STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

# The runs end their streams themselves, each with a terminal event; see `Runs.drain`.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call] # not annotated


class LogStream(EventSourceResponse):
    """Follows a run for one reader and lets go of it however the connection ends."""

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
            frames(reader.run, after=after, heartbeat_s=heartbeat_s, show=show),
            headers=STREAM_HEADERS | headers,
            ping=0,
            sep="\n",
            send_timeout=send_timeout_s or None,
        )
        self._reader = reader
        self._streams_open = streams_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the log or the reader ends."""
        try:
            with self._streams_open.track_inprogress():
                await super().__call__(scope, receive, send)
        except SendTimeoutError:
            # A plain close would wait for the stalled peer to take what is buffered for it.
            abort_connection(scope)
        finally:
            self._reader.close()


def abort_connection(scope: Scope) -> None:
    """Drop a connection with what is still unsent, where the server offers that."""
    abort: Callable[[], None] | None = scope.get("extensions", {}).get("imagesearch.abort")
    if abort:
        abort()


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
            numbered = frame(event, f"{run.id}:{after}", retry_ms=retry_ms(run, event))
            for part in show(event) if show else numbered:
                buffer += part
                if len(buffer) >= PIECE_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
        if buffer and events:
            yield bytes(buffer)
            buffer.clear()


def frame(event: Event, event_id: str = "", *, retry_ms: int | None = None) -> Iterator[bytes]:
    """Frame one event in parts, never copied as a whole; each line of its data after a `data:`."""
    retry = f"retry: {retry_ms}\n" if retry_ms is not None else ""
    numbered = f"id: {event_id}\n" if event_id else ""
    yield f"{retry}{numbered}event: {event.type}\ndata: ".encode()
    for start in range(0, len(event.data), PIECE_BYTES):
        yield event.data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")
    yield b"\n\n"


def retry_ms(run: Run, event: Event) -> int | None:
    """Spread the readers' return when the service goes away under them."""
    if event.type == "search.failed" and isinstance(run.error, Draining):
        return random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
    return None
