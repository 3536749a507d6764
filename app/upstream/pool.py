"""Connections to the upstream: made when they are needed, and kept for the next request."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import httpx
from aiohappyeyeballs import AddrInfoType, start_connection

from app.upstream.http1 import Connection

NEXT_ADDRESS_S = 0.25
"""After so long, the next of a name's addresses is tried beside the first (RFC 8305 §5)."""


class Origin(NamedTuple):
    """Where connections lead."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> "Origin":
        """The origin of a URL, its port spelt out."""
        port = url.port or (443 if url.scheme == "https" else 80)
        return cls(url.scheme, url.raw_host.decode("ascii"), port)


class Pool:
    """All connections of the process. Has no limit: whoever asks has been let in before."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._all: set[Connection] = set()
        self._looking: dict[Origin, asyncio.Future[Sequence[AddrInfoType]]] = {}

    async def take(self, origin: Origin, *, connect_s: float | None) -> Connection:
        """A connection for one request: the one that was used last, or a new one.

        Raises:
            httpx.ConnectTimeout: It took longer than `connect_s`: look-up, TCP and TLS together.
            httpx.ConnectError: No address, nobody there, or no TLS.
        """
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        try:
            async with asyncio.timeout(connect_s):
                return await self._connect(origin)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("No connection in time.") from exc
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(f"No connection: {exc!r}") from exc

    async def aclose(self) -> None:
        """Drop all of them."""
        for connection in list(self._all):
            connection.abort()
        for looking in self._looking.values():
            looking.cancel()
        # They are told in the next turn that they are gone.
        await asyncio.sleep(0)

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        secure = origin.scheme == "https"
        found = _literal(origin) or await self._addresses(origin)
        sock = await start_connection(
            found, interleave=1, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=loop
        )
        # A peer that is gone without a word is noticed at last, where time-outs are switched off.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        _, made = await loop.create_connection(
            partial(Connection, on_free=partial(self._keep, origin), on_gone=self._forget),
            sock=sock,
            ssl=self._tls if secure else None,
            server_hostname=origin.host if secure else None,
        )
        if not made.usable:
            raise ConnectionResetError("closed at once")
        self._all.add(made)
        return made

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Where an origin may be reached: one look-up at a time, told to all who wait for it.

        Each takes one of the loop's few threads; a burst's would queue there until they are late.
        """
        looking = self._looking.get(origin)
        if looking is None:
            loop = asyncio.get_running_loop()
            coming = loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            looking = self._looking[origin] = asyncio.ensure_future(coming)
            looking.add_done_callback(partial(self._looked_up, origin))
        # Not `shield`, which complains of a failure that the one who left is not told of.
        await asyncio.wait((looking,))
        try:
            return looking.result()
        finally:
            # A failure holds this frame, which else would hold the failure.
            del looking

    def _looked_up(self, origin: Origin, looking: asyncio.Future[Sequence[AddrInfoType]]) -> None:
        del self._looking[origin]
        if not looking.cancelled():
            # Nobody may be there to hear of it.
            looking.exception()

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._idle.setdefault(origin, {})[connection] = None

    def _forget(self, connection: Connection) -> None:
        self._all.discard(connection)
        for idle in self._idle.values():
            idle.pop(connection, None)


def _literal(origin: Origin) -> Sequence[AddrInfoType]:
    """The address that an origin is written with, if it is; that takes no thread."""
    kind, numeric = socket.SOCK_STREAM, socket.AI_NUMERICHOST
    with suppress(socket.gaierror):
        return socket.getaddrinfo(origin.host, origin.port, type=kind, flags=numeric)
    return ()
