"""HTTP/1.1 for `httpx.AsyncClient`, over asyncio, parsed by httptools (llhttp).

Its errors say how far the request got (into the kernel, or TLS, which buffers 64 KiB), and so what
it may cost. `ConnectError`, `ConnectTimeout`: nothing was sent. `WriteError`: not all of it.
`ReadError`, `RemoteProtocolError`: all of it, or its response had begun.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

import httpx
from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

KEEPALIVE_S = 10.0  # Gateways commonly close idle connections after 15 s.
FINAL_CHUNK_S = 1.0  # How long a body of which no more is needed may take to end.
STAGGER_S = 0.25  # Head start of a host's first address over the next one (RFC 8305 §5).
HEAD_MAX_BYTES, BUFFER_MAX_BYTES = 65_536, 262_144  # Reading pauses when the second waits.
Origin = tuple[str, str, int]  # Scheme, host and port.
FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Transport(httpx.AsyncBaseTransport):
    """All connections of the process. Has no limit: searches are admitted before they get here."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._connections: set[Connection] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; once more if a kept connection closes before it was fully written."""
        start = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
        lines = [start, *(b"%b: %b" % header for header in request.headers.raw)]
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise httpx.LocalProtocolError("A header contains a line break.")
        head, body = b"\r\n".join([*lines, b"", b""]), cast("httpx.AsyncByteStream", request.stream)
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        origin = (request.url.scheme, request.url.raw_host.decode("ascii"), port)
        if idle := self._idle.setdefault(origin, {}):
            with suppress(httpx.WriteError):
                return await idle.popitem()[0].exchange(head, body)
        connect_s = request.extensions.get("timeout", {}).get("connect")
        return await (await self._connect(origin, connect_s)).exchange(head, body)

    async def aclose(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    async def _connect(self, origin: Origin, connect_s: float | None) -> "Connection":
        loop, (scheme, host, port) = asyncio.get_running_loop(), origin
        tls: Any = {"ssl": self._ssl_context, "server_hostname": host} if scheme == "https" else {}
        try:
            async with asyncio.timeout(connect_s):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                sock = await start_connection(found, interleave=1, happy_eyeballs_delay=STAGGER_S)
                make = partial(Connection, self._connections, self._idle[origin])
                _, connection = await loop.create_connection(make, sock=sock, **tls)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("No connection in time.") from exc
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(f"No connection: {exc!r}") from exc
        return connection


class Connection(asyncio.Protocol, httpx.AsyncByteStream):
    """One connection, serving one request at a time; also the body of its present response."""

    _transport: asyncio.Transport

    def __init__(self, connections: set["Connection"], idle: dict["Connection", None]) -> None:
        self._connections, self._idle = connections, idle
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer = self._loop.call_later(KEEPALIVE_S, self.abort)
        self._error: httpx.TransportError | None = None
        self._can_write = True
        self._reset()
        self._complete = True

    async def exchange(self, head: bytes, body: httpx.AsyncByteStream) -> httpx.Response:
        """Send a request and wait for the head of its response."""
        self._reset()
        try:
            await self._send(head, body)
            while not self._status:
                await self._changed()
        except BaseException:
            self.abort()
            raise
        more = {"expect_end": self._ends_soon}
        return httpx.Response(self._status, headers=self._headers, stream=self, extensions=more)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self  # No generator: one that is left in the middle costs a task that closes it.

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._complete:
                raise StopAsyncIteration
            await self._changed()
        return self._take()

    async def aclose(self) -> None:
        """Let go of the response; what has not ended is cut, but not at once after `expect_end`."""
        self._released = True
        self._take()
        self._keep_or_abort()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        # Without room in the buffer, `_can_write` says that all was written. A plain transport
        # pauses above `high`, TLS already at it, and would never go on from 0.
        secure = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=int(secure), low=0)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._complete:
            return self.abort()  # Nobody asked for it.
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self._fail(httpx.RemoteProtocolError(f"The response is not HTTP: {exc}"))
        self._unread_bytes += len(data)
        if self._released:
            self._chunks.clear()
        elif not self._status and self._unread_bytes > HEAD_MAX_BYTES:
            self._fail(httpx.RemoteProtocolError("The head of the response is too large."))
        elif self._unread_bytes > BUFFER_MAX_BYTES:
            self._transport.pause_reading()
        return self._wake()

    def eof_received(self) -> None:
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._complete |= self._until_close and exc is None and not self._error
        self._fail(httpx.ReadError(f"The connection closed early: {exc!r}"))
        self._connections.discard(self)
        self._idle.pop(self, None)

    def on_message_begin(self) -> None:
        if self._complete:
            raise HttpParserError("data after the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # Else it is a trailer.
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < httpx.codes.OK:  # An interim response (RFC 9110 §15.2).
            self._headers.clear()
        else:
            self._status, self._keep_alive = status, self._parser.should_keep_alive()
            self._until_close = FRAMING.isdisjoint(name.lower() for name, _ in self._headers)

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        self._complete = self._status > 0
        if self._complete and self._released:
            self._keep_or_abort()

    def _reset(self) -> None:
        self._timer.cancel()
        self._parser = HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._status = self._unread_bytes = 0
        self._written = self._complete = self._released = False
        self._keep_alive = self._until_close = False
        self._ends_soon = asyncio.Event()

    async def _send(self, head: bytes, body: httpx.AsyncByteStream) -> None:
        """Write the request, unless a response (an early refusal) or a break comes before."""
        async for chunk in body:
            if self._status or self._transport.is_closing():
                return
            self._transport.write(head + chunk)
            head, failed = b"", self._transport.is_closing()
            while not (self._can_write or self._status):
                await self._changed()
            if failed or not self._can_write:
                return
        self._written = True

    def _keep_or_abort(self) -> None:
        self._timer.cancel()
        usable = self._keep_alive and self._written and not self._transport.is_closing()
        if usable and self._complete:
            self._timer = self._loop.call_later(KEEPALIVE_S, self.abort)
            self._idle[self] = None
        elif usable and self._ends_soon.is_set():
            self._timer = self._loop.call_later(FINAL_CHUNK_S, self.abort)
        else:
            self.abort()

    def _take(self) -> bytes:
        data, self._chunks = b"".join(self._chunks), []
        if self._unread_bytes > BUFFER_MAX_BYTES:
            self._transport.resume_reading()
        self._unread_bytes = 0
        return data

    def _fail(self, error: httpx.TransportError) -> None:
        self._error = self._error or error
        self.abort()
        self._wake()

    def _changed(self) -> asyncio.Future[None]:
        """A future for the next change; raises what has ended the connection."""
        if self._error:
            began = self._written or self._status
            raise self._error if began else httpx.WriteError(str(self._error))
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
