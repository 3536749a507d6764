"""Commands to Redis or Valkey: none takes longer than a second, or is tried while it is down.

Keys are made inside of the scripts, so that Cluster is not supported; an ACL needs `~isp:*`.
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.errors import Overloaded
from app.settings import SettingsError

logger = logging.getLogger("app.store")

COMMAND_S, SLICE_S = 1.0, 0.1
"""Most time of a command, repetition and connecting included, and the slices in which it is waited:
a stall of this process uses up one of them, however long it is."""
LEASE_MS, RENEW_S = 10_000, 3.0  # A replica whose lease has ended counts as dead.
AGAIN_S = 0.5  # How often it is looked whether Redis is back.
GAP_MS = 5_000  # Redis was down if no replica gave a sign of life for so long.
QUIET_MS = 3_000  # After that no replica is declared dead for one renewal: all may have to renew.
POSTS_MAX, POSTS_AT_ONCE = 100_000, 200
MESSAGES_MAX, MESSAGES_KEPT_MS = 10_000, 3_600_000  # Of one replica.

CONNECT_S = 3.0  # Longest wait for a connection; who waits for a reply gives up before.


class RedisDown(Overloaded):
    """Redis did not answer in time, is known not to, or takes no writes."""

    def __init__(self) -> None:
        super().__init__("Redis, which replicas share, does not answer.")


def connect(url: str) -> Any:
    """A client that sends once more what was not answered; its callers bound how long it takes."""
    pool: Any = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=16,
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
        raise SettingsError(f"REDIS_URL: {scheme}://{place} does not answer: {reason}") from exc


async def repeat(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step for ever; after a pause where Redis does not answer, or a step fails."""
    while True:
        try:
            await step()
        except Exception as exc:
            if not isinstance(exc, RedisDown):
                logger.exception("a step of the replication failed")
            await asyncio.sleep(AGAIN_S)


class RedisClient:
    """One replica's commands and lease, and what it knows of Redis."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replica = secrets.token_hex(8)  # New at every start.
        self.up = False
        self._redis = connect(url)
        self._scripts = {
            path.stem: self._redis.register_script(path.read_text("utf-8"))
            for path in Path(__file__).parent.glob("scripts/*.lua")
        }
        self._epoch = b""
        self._posts = deque[tuple[str, tuple[Any, ...]]](maxlen=POSTS_MAX)
        self._posted = asyncio.Event()

    async def start(self, stack: AsyncExitStack, *steps: Callable[[], Awaitable[None]]) -> None:
        """Connect, and repeat these steps until `stack` ends; raises `SettingsError`."""
        if (policy := await probe(self.url)) != "noeviction":
            logger.warning("REDIS_URL: maxmemory-policy %s loses data; set noeviction", policy)
        self.up = True
        stack.push_async_callback(self._redis.aclose)
        for step in (self._send_posts, *steps):
            stack.callback(asyncio.create_task(repeat(step)).cancel)

    async def renew(self) -> tuple[bool, list[tuple[str, bool]]]:
        """Give a sign of life, and return whether anything may be lost; raises `RedisDown`.

        Also returns the replicas that are gone, each with whether its runs are ours to end.
        """
        args = (self.replica, LEASE_MS, GAP_MS, QUIET_MS)
        held, epoch, *dead = await self._reply(self._scripts["renew"]((), args))
        is_news = not (held and self.up and epoch == self._epoch)
        if not self.up:
            logger.info("Redis is back")
        self.up, self._epoch = True, epoch
        return is_news, [(name.decode(), bool(is_ours)) for name, is_ours in dead]

    async def call(self, *command: Any, within_s: float = COMMAND_S) -> Any:
        """Send a command and return the reply; raises `RedisDown`, and it may still be executed."""
        if not self.up:
            raise RedisDown
        return await self._reply(self._redis.execute_command(*command), within_s)

    async def script(self, name: str, *args: Any) -> Any:
        """Run a script and return the reply; raises `RedisDown`, and it may still be executed."""
        if not self.up:
            raise RedisDown
        return await self._reply(self._scripts[name]((), args))

    def post(self, name: str, *args: Any) -> None:
        """Run a script soon, in order; if Redis does not answer, when it does."""
        self._posts.append((name, args))
        self._posted.set()

    def send(self, replica: str, message: dict[str, Any]) -> None:
        """Send a message to a replica soon."""
        text = json.dumps(message | {"from": self.replica})
        self.post("message", replica, text, MESSAGES_MAX, MESSAGES_KEPT_MS)

    async def _reply(self, reply: Awaitable[Any], within_s: float = COMMAND_S) -> Any:
        sending = asyncio.ensure_future(reply)
        try:
            for _ in range(round(within_s / SLICE_S)):
                await asyncio.wait({sending}, timeout=SLICE_S)
                if sending.done():
                    return sending.result()
            raise TimeoutError
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as exc:
            if self.up:
                self.up = False
                logger.warning("Redis is down; searches go on, and are written when it is back")
            raise RedisDown from exc
        except exceptions.RedisError as exc:  # It takes no writes (OOM, READONLY).
            raise RedisDown from exc
        finally:
            sending.cancel()

    async def _send_posts(self) -> None:
        await self._posted.wait()
        while some := list(islice(self._posts, POSTS_AT_ONCE)):
            if not self.up:
                raise RedisDown
            pipe = self._redis.pipeline(transaction=False)
            for name, args in some:
                await self._scripts[name]((), args, client=pipe)
            await self._reply(pipe.execute())
            for _ in some:
                self._posts.popleft()
        self._posted.clear()
