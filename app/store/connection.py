"""Connections to Redis, and whether it can be reached at all."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.settings import SettingsError

CONNECT_S = 3.0
"""Longest wait for a connection, new or of the pool; who waits for a reply gives up before."""
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


class PackedInC(Connection):
    """A connection that packs commands with hiredis: redis-py's asyncio side does it in Python."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of a command, in pieces."""
        packed: list[bytes] = SERIALIZER.pack(*args)
        return packed


SERIALIZER = HiredisRespSerializer()


def connect(url: str, *, timeout_s: float | None, connections: int = 1) -> Any:
    """A client that neither repeats by itself nor makes a dictionary of a stream's entry."""
    packed = {"connection_class": PackedInC} if url.startswith("redis://") else {}
    pool: Any = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=connections,
        timeout=CONNECT_S,
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        **packed,
    )
    client: Any = Redis.from_pool(pool)
    for name in ("XREAD", "XRANGE", "XREVRANGE"):
        client.set_response_callback(name, lambda reply, **_: reply)
    return client


async def probe(url: str) -> None:
    """Raise `SettingsError` if Redis cannot be reached there; an empty URL is none."""
    if not url:
        return
    try:
        client = connect(url, timeout_s=CONNECT_S)
        try:
            await client.ping()
        finally:
            await client.aclose()
    except ValueError as exc:
        raise SettingsError("REDIS_URL: is no URL that redis-py can read") from exc
    except (*UNREACHABLE, RedisError) as exc:
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise SettingsError(f"REDIS_URL: {place_of(url)} does not answer: {reason}") from exc


def place_of(url: str) -> str:
    """Where Redis is, without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
