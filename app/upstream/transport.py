"""How bytes get to the upstream and back: httpx's transport, over connections of our own.

Not httpx's client: redirects, cookies and credentials of the environment are what a call with the
service's key must not have. Nor its pool, which looks at all connections at every turn, nor a
library's whole HTTP client, whose streams wake a task for every piece.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import httpx

from app.settings import Settings, SettingsError
from app.upstream.http1 import Connection
from app.upstream.inbox import Take
from app.upstream.pool import Origin, Pool

PORTS = range(1, 65_536)


class PooledTransport(httpx.AsyncBaseTransport):
    """The one pool of connections of the process. Use it as a context manager."""

    def __init__(self) -> None:
        self.pool = Pool(httpx.create_ssl_context(trust_env=False))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response, whose stream is to be closed.

        Raises:
            httpx.TransportError: Of `Pool.take` and `Connection.ask`.
        """
        limits = request.extensions.get("timeout", {})
        written = head_of(request)
        origin = Origin.of(request.url)
        connection = await self.pool.take(origin, connect_s=limits.get("connect"))
        try:
            head = await connection.ask(written, request.stream)  # type: ignore[arg-type] # of an async request
        except BaseException:
            connection.close()
            raise
        return httpx.Response(head.status, headers=head.headers, stream=Body(connection))

    async def aclose(self) -> None:
        """Drop all connections."""
        await self.pool.aclose()


class Body(httpx.AsyncByteStream):
    """A response's body on one of our connections."""

    def __init__(self, connection: Connection) -> None:
        self._close = connection.close
        self.read = connection.read
        self.pour = connection.pour
        self.enough = connection.enough

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection, once: afterwards it may be another's."""
        close, self._close = self._close, _done
        close()


class OtherBody:
    """The same of a response that another of httpx's transports gave."""

    def __init__(self, response: httpx.Response) -> None:
        self.aclose = response.aclose
        self.read: Callable[[], Awaitable[bytes]] = partial(anext, response.aiter_raw(), b"")

    async def pour(self, take: Take) -> None:
        """Hand it to `take` until that wants no more."""
        while (piece := await self.read()) and take(piece):
            pass

    def enough(self) -> None:
        """Leave its connection to the transport."""


def _done() -> None:
    """Nothing is left to let go of."""


def head_of(request: httpx.Request) -> bytes:
    """A request's line and headers.

    Raises:
        httpx.LocalProtocolError: One of them would be two.
    """
    words = [request.method.encode("ascii"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        words += name, b": ", value, b"\r\n"
    head, lines = b"".join(words), len(words) // 4
    if any(head.count(mark) != n for mark, n in ((b"\r", lines), (b"\n", lines), (b"\0", 0))):
        raise httpx.LocalProtocolError("A header of the request breaks its line.")
    return head + b"\r\n"


def address(settings: Settings) -> httpx.URL:
    """Where the Responses API is.

    Raises:
        SettingsError: No connection can lead there, because of its host or its port.
    """
    try:
        url = httpx.URL(f"{settings.base_url}/responses")
    except httpx.InvalidURL as exc:
        raise SettingsError(f"DASHSCOPE_BASE_URL: {exc}") from exc
    if not url.host or not (url.port is None or url.port in PORTS):
        raise SettingsError("DASHSCOPE_BASE_URL: needs a host, and a port from 1 to 65535")
    return url


def timeouts(settings: Settings) -> dict[str, float | None]:
    """The request extension `timeout`: a limit on the way to a connection, and no other."""
    connect_s = settings.upstream_connect_timeout_s or None
    return {"connect": connect_s, "pool": connect_s, "read": None, "write": None}


class Reply:
    """A response's head, and its body as it comes; close it.

    Not httpx's own response, which holds on to the request and its body as long as it lives.
    """

    __slots__ = ("aclose", "enough", "headers", "pour", "read", "status")

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        stream = response.stream
        body = stream if isinstance(stream, Body) else OtherBody(response)
        # See `Connection` for these.
        self.read, self.pour = body.read, body.pour
        self.enough, self.aclose = body.enough, body.aclose

    @property
    def is_success(self) -> bool:
        """Whether the status is one of the 200s."""
        return httpx.codes.is_success(self.status)
