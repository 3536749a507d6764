"""One HTTP/1.1 connection to the upstream (RFC 9112): a request, then its response as it comes.

llhttp parses, by httptools, as on the service's own side. Here is what it leaves: where a
response ends, and whether its connection may serve once more. `Inbox` hands its body on.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import NamedTuple, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.upstream.inbox import Inbox

KEEPALIVE_S = 15.0
"""Idle connections go before a gateway drops them under the next request."""

LAST_BYTES_S = 1.0
"""What a body may take to end, behind the last that was wanted of it, for its connection to be
kept: servers write the end of a stream by itself, and another connection costs two round trips."""

HEAD_MAX_BYTES = 65_536
"""A response's status line and headers."""

LENIENCIES = {"lenient_headers": True, "lenient_spaces_after_chunk_size": True}
"""What some servers get wrong: headers' values with odd signs or in several lines, padded sizes."""

INTERIM = range(100, 200)
FRAMING = (b"content-length", b"transfer-encoding")


class Head(NamedTuple):
    """What stands ahead of a body: the status, and the headers as they were written."""

    status: int
    headers: list[tuple[bytes, bytes]]


class Connection(Inbox, asyncio.Protocol):
    """Serves one request at a time: `ask`, then `pour` or `read`, then `close`, in one task.

    Raises:
        httpx.RemoteProtocolError: What comes is not HTTP.
        httpx.ReadError: The connection ended before the response.
    """

    __slots__ = (
        *("on_body", "_parser", "_on_free", "_on_gone", "_head", "_headers", "_head_bytes"),
        *("_sent", "_writable", "_keep", "_enough", "_timer"),
    )

    _head: Head | None
    _headers: list[tuple[bytes, bytes]]

    def __init__(
        self,
        *,
        on_free: Callable[["Connection"], None],
        on_gone: Callable[["Connection"], None],
    ) -> None:
        """Tell `on_free` when it may serve once more, and `on_gone` when it never will."""
        super().__init__()
        self._on_free, self._on_gone = on_free, on_gone
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        # What comes is framed anew before it goes on, so nothing can be smuggled by it.
        self._parser.set_dangerous_leniencies(**LENIENCIES)
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._ready_for_another()
        self._ended = True

    @property
    def usable(self) -> bool:
        """Whether it may still be asked."""
        return not self._transport.is_closing()

    async def ask(self, head: bytes, body: AsyncIterable[bytes]) -> Head:
        """Send a request, and wait for the head of its response.

        One that comes ahead of the request's end ends the sending, too.
        """
        self._stop_timer()
        self._ready_for_another()
        async for piece in body:
            if not self.usable:
                break
            self._transport.write(head + piece if head else piece)
            head = b""
            while not (self._writable or self._heard):
                await self._wait()
            if self._heard:
                break
        else:
            self._sent = True
        while not self._heard:
            await self._wait()
        if self._head is None:
            raise self._failure()
        return self._head

    def enough(self) -> None:
        """Say that all has come that was wanted: if the body soon ends, the connection is kept."""
        self._enough = True

    def close(self) -> None:
        """Let go of the response; unless that has ended, or soon does, of the connection, too."""
        self._closed = True
        self._pieces.clear()
        self._go_on_reading()
        if self._enough and self._keep and not self._over:
            self._timer = self._loop.call_later(LAST_BYTES_S, self._transport.abort)
        else:
            self._let_go()

    def abort(self) -> None:
        """Drop the connection."""
        self._lost = self._lost or partial(httpx.ReadError, "The connection was dropped.")
        self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Send no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """Send on."""
        self._writable = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Take in what has come."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self._break_off(f"The upstream's answer is not HTTP: {exc}")
        if self._head is None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self._break_off("The head of the upstream's answer does not end.")
        elif self._pieces:
            self._hand_on(len(data))

    def eof_received(self) -> None:
        """Be unusable at once: TLS takes some turns to close."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come: the end of a body that bears no length, else a break."""
        self._stop_timer()
        if self._lost is None:
            if self._head and exc is None:
                endless = not any(name.lower() in FRAMING for name, _ in self._head.headers)
                self._ended = self._ended or endless
            self._lost = partial(httpx.ReadError, f"The connection ended early: {exc!r}")
        self._on_gone(self)
        self._wake()
        # It holds this connection's methods.
        del self._parser

    # What llhttp calls

    def on_message_begin(self) -> None:
        """Another response: none but the one that was asked for may come."""
        if self._ended:
            raise HttpParserError("nobody asked for it")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what stands behind a body is of no use."""
        if self._head is None:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Hand out the head, unless it is an interim one."""
        status = self._parser.get_status_code()
        if status not in INTERIM:
            self._head = Head(status, self._headers)
            self._keep = self._sent and self._parser.should_keep_alive()
            self._wake()
        self._headers = []

    def on_message_complete(self) -> None:
        """Nothing more will come of this response."""
        if self._head is None:
            self._pieces.clear()
            return
        self._ended = True
        self._wake()
        if self._closed:
            self._let_go()

    # The rest

    @property
    def _heard(self) -> bool:
        return self._head is not None or self._lost is not None

    def _ready_for_another(self) -> None:
        self._head = self._take = self._raised = None
        self._headers = []
        self._head_bytes = self._held_bytes = 0
        self._sent = self._keep = self._enough = self._closed = self._ended = False

    def _let_go(self) -> None:
        """Wait for another request, for a while, or be gone."""
        self._stop_timer()
        if self._ended and self._keep and self.usable:
            self._timer = self._loop.call_later(KEEPALIVE_S, self._transport.close)
            self._on_free(self)
        else:
            self._transport.abort()

    def _break_off(self, why: str) -> None:
        """Trust nothing that comes here any more."""
        self._lost = partial(httpx.RemoteProtocolError, why)
        self._transport.abort()
        self._wake()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
