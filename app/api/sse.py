"""Server-sent events out: a run's log as the bytes of an event stream (WHATWG HTML §9.2)."""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

from prometheus_client import Gauge
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

from app.api.feed import Feed, outlet_of
from app.errors import Draining
from app.models import Event
from app.runs import Reader, Run

RETRY_MS = 2_000
"""How long a browser waits before it comes back after a break."""

DRAIN_RETRY_MS = (1_000, 10_000)
"""Spread of the same at shutdown, so that not all come back at once."""

PIECE_BYTES = 4_096
"""An event is taken apart in such pieces: a reader that stalls in a large one holds two of them."""

FAILED = "search.failed"

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
            iter(()),
            headers=STREAM_HEADERS | headers,
            ping=0,
            sep="\n",
            send_timeout=send_timeout_s or None,
        )
        self._reader = reader
        self._flow = partial(flow, reader.run, after=after, show=show)
        self._heartbeat_s = heartbeat_s
        self._streams_open = streams_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the log ends, the reader leaves, or it takes nothing for too long."""
        outlet = outlet_of(scope, receive)
        feed = Feed(self._flow, outlet, heartbeat_s=self._heartbeat_s)
        # Let go of, for a stream lasts a minute: a fiftieth of what it holds.
        headers, self.raw_headers = self.raw_headers, []
        head = {"type": "http.response.start", "status": self.status_code, "headers": headers}
        try:
            with self._streams_open.track_inprogress():
                await send(head)
                del head, headers
                with self._reader.run.log.read_by(feed.pump):
                    await feed.run(send, self.send_timeout)
        finally:
            feed.close()
            self._reader.close()


def flow(
    run: Run, write: Callable[[bytes], bool], *, after: int, show: Show | None = None
) -> Iterator[bool]:
    """Write a run's log from behind event number `after` to its end, in pieces of bounded size.

    Yields true when a piece was the last that `write` took for now, and false where the log has no
    more as yet. With `show`, events look as that says, and bear nothing to come back with.
    """
    log, events, run_id = run.log, run.log.events, run.id
    piece = b"" if show else b"retry: %d\n" % RETRY_MS
    while not (log.closed and after == len(events)):
        while after < len(events):
            event = events[after]
            after += 1
            if show:
                shown = show(event)
            else:
                ahead = f"id: {run_id}:{after}\n"
                shown = frame(event, retrying(run) + ahead if event[0] == FAILED else ahead)
            for part in shown:
                piece += part
                if len(piece) >= PIECE_BYTES:
                    room, piece = write(piece), b""
                    if not room:
                        yield True
        if piece:
            room, piece = write(piece), b""
            if not room:
                yield True
        if after == len(events) and not log.closed:
            yield False


def frame(event: Event, ahead: str = "") -> Iterable[bytes]:
    """Frame one event behind fields that go `ahead`; a large one in parts.

    Each line of its data becomes a `data:`.
    """
    name, data = event
    head = f"{ahead}event: {name}\ndata: ".encode()
    if len(data) <= PIECE_BYTES:
        return (head + data.replace(b"\n", b"\ndata: ") + b"\n\n",)
    return chain((head,), _pieces(data), (b"\n\n",))


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES].replace(b"\n", b"\ndata: ")


def retrying(run: Run) -> str:
    """Spread the readers' return when the service goes away under them."""
    if isinstance(run.error, Draining):
        retry_ms = random.randint(*DRAIN_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
        return f"retry: {retry_ms}\n"
    return ""
