"""Connections to Redis, and whether it can be reached at all."""

import asyncio
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.settings import SettingsError

CONNECT_S = 3.0  # Longest wait for a connection; who waits for a reply gives up before.
CONNECTIONS_MAX = 16
UNREACHABLE = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)


def connect(url: str) -> Any:
    """A client with some connections, which sends once more what a broken one did not answer.

    Its callers bound how long it takes.
    """
    pool: Any = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=CONNECTIONS_MAX,
        timeout=CONNECT_S,
        socket_timeout=None,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
    )
    return Redis.from_pool(pool)


async def probe(url: str) -> str:
    """How Redis evicts; raises `SettingsError` if it cannot be reached there."""
    try:
        async with asyncio.timeout(CONNECT_S), connect(url) as client:
            memory = await client.info("memory")
            return str(memory.get("maxmemory_policy", "noeviction"))
    except ValueError as exc:
        raise SettingsError("REDIS_URL: is no URL that redis-py can read") from exc
    except (OSError, exceptions.RedisError) as exc:
        scheme, _, rest = url.partition("://")
        place = rest.rpartition("@")[2].partition("?")[0]  # Without user and password.
        reason = " ".join(str(exc).split()) or type(exc).__name__
        message = f"REDIS_URL: {scheme}://{place} does not answer: {reason}"
        raise SettingsError(message) from exc
