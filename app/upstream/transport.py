"""How bytes get to the upstream and back: httpx's transport over aiohttp's connections.

Not httpx's client: redirects, cookies and credentials of the environment are what a call with the
service's key must not have.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from app.settings import Settings

KEEPALIVE_S = 15.0
"""Idle connections go before a gateway drops them under the next request."""

READER = "imagesearch.reader"

Read = Callable[[], Awaitable[bytes]]


class Connection(ResponseHandler):
    """Goes on reading where it was paused.

    aiohttp says so after every read of a body, paused or not, and then parses nothing once more:
    a twentieth of what relaying an event costs.
    """

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Do it, if there is need."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class ReaderTransport(AiohttpTransport):
    """Hands out aiohttp's reader beside the response.

    httpx and its adapter put four generators around each read, which together cost more of an
    event than decoding and logging it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the adapter does, with the reader among the extensions."""
        response = await super().handle_async_request(request)
        if isinstance(response.stream, AiohttpResponseStream):
            told = response.stream._aiohttp_response  # noqa: SLF001 - the adapter has no public way
            response.extensions[READER] = told.content
        return response


def build_transport() -> httpx.AsyncBaseTransport:
    """The one pool of connections of the process. Use it as a context manager."""
    tls = httpx.create_ssl_context(trust_env=False)

    def open_session() -> aiohttp.ClientSession:
        # No limit: the service's own gate is in front, so that nobody queues in the pool.
        connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=KEEPALIVE_S)
        made: Any = partial(Connection, loop=asyncio.get_running_loop())
        connector._factory = made  # noqa: SLF001 - the connector has no public way
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    return ReaderTransport(verify=tls, trust_env=False, client=open_session)


def timeouts(settings: Settings) -> dict[str, float | None]:
    """The request extension `timeout`: a limit on the way to a connection, and no other.

    `pool` becomes aiohttp's limit on the whole of that way, look-up and TLS too.
    """
    connect_s = settings.upstream_connect_timeout_s or None
    return {"connect": connect_s, "pool": connect_s, "read": None, "write": None}


class Reply:
    """A response's head, and its body as it comes; close it.

    Not httpx's own response, which holds on to the request and its body as long as it lives.
    """

    __slots__ = ("_body", "headers", "read", "status")

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.read: Read
        """Gives what bytes there are, or waits for more; nothing at the end.

        A chunk size would hold small events back until it is full.
        """
        reader: aiohttp.StreamReader | None = response.extensions.get(READER)
        self.read = reader.readany if reader else partial(anext, response.aiter_raw(), b"")
        self._body: Any = response.stream if reader else response

    @property
    def is_success(self) -> bool:
        """Whether the status is one of the 200s."""
        return httpx.codes.is_success(self.status)

    async def aclose(self) -> None:
        """Close the call: at once, unless its body has been read to its end."""
        await self._body.aclose()
