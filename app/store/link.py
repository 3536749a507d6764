"""Commands to Redis: none takes longer than a second, none is tried while it is known to be away.

Keys are made inside of the scripts, so that Cluster is not supported; an ACL needs `~isp:*`.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from app.settings import SettingsError
from app.store.connection import UNREACHABLE, connect, place_of

logger = logging.getLogger("app.store")

COMMAND_S = 1.0
"""Most time of a command, repetition and connecting included."""
SLICES = 10
"""Parts of it: a stall of this process uses up one of them, however long it is."""
ATTEMPTS = 3
"""How often a script may be late: then nothing was done, and it is Redis that answered."""
ANSWER_S = 0.2
"""How long before its caller gives up a script no longer begins."""
LEASE_MS, RENEW_S = 10_000, 3.0
"""A replica counts as dead when it has not renewed its lease for so long."""
AGAIN_S = 0.5
"""How often it is looked whether Redis is back."""
GAP_MS = 5_000
"""Redis was away if no replica gave a sign of life for so long."""
QUIET_MS = 3_000
"""After that no replica is judged for one period of renewal: all may have to renew first."""
STUCK_S = 3.0
"""When a connection is given up whose command has no reply."""
CONNECTIONS = 16
POSTS_MAX = 100_000
POSTS_AT_ONCE = 200

SCRIPTS = {
    path.stem: path.read_text("utf-8") for path in Path(__file__).parent.glob("scripts/*.lua")
}
DIGESTS = {name: sha1(text.encode()).hexdigest() for name, text in SCRIPTS.items()}  # noqa: S324 - EVALSHA's


class Away(Exception):
    """Redis did not answer in time, is known not to, or takes no writes."""


@dataclass(slots=True)
class Claim:
    """What Redis is told of a run of this process. Money is in units of 1e-9 CNY."""

    client: str
    fingerprint: str
    key: str
    listed: bool
    kept: bool
    estimate: str = ""
    """What the reserved money was made of, for whoever has to settle it in our place."""
    reserved: int = 0
    cost: int = 0


async def repeat(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step for ever; where Redis is away, or a step fails, after a pause."""
    while True:
        try:
            await step()
        except Away:
            await asyncio.sleep(AGAIN_S)
        except Exception:
            logger.exception("a step of the replication failed")
            await asyncio.sleep(AGAIN_S)


class Link:
    """One replica's commands and lease, and what it knows of Redis.

    Whoever has to act on what a renewal finds is in `on_return` (Redis is back, or has lost what
    was written, or our lease had ended), `on_renewal` or `on_death` (of another replica; whether
    its runs are ours to end).
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.replica = secrets.token_hex(8)
        """New at every start."""
        self.redis = connect(url, timeout_s=STUCK_S, connections=CONNECTIONS)
        # redis-py's time-out of the socket would end a command that blocks.
        self._blocked = connect(url, timeout_s=None)
        self.up = False
        self.lapses = 0
        """How often our lease had ended although Redis was there."""
        self.claims: dict[str, Claim] = {}
        """By id, those of runs whose end is not written yet."""
        self.on_return: list[Callable[[], None]] = []
        self.on_renewal: list[Callable[[], Awaitable[None]]] = []
        self.on_death: list[Callable[[str, bool], None]] = []
        self._epoch = b""
        self._clock_ms = 0.0
        self._batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._posts: deque[tuple[Any, ...]] = deque(maxlen=POSTS_MAX)
        self._posted = asyncio.Event()

    async def start(self, stack: AsyncExitStack, *steps: Callable[[], Awaitable[None]]) -> None:
        """Take the lease, and repeat these steps until `stack` ends.

        Raises `SettingsError` if Redis does not answer.
        """
        for client in (self.redis, self._blocked):
            stack.push_async_callback(client.aclose)
        try:
            await self._renew()
            memory = await self.call("INFO", "memory")
        except Away as exc:
            raise SettingsError(f"REDIS_URL: {place_of(self.url)}: {exc.__cause__}") from exc
        if (policy := memory.get("maxmemory_policy", "noeviction")) != "noeviction":
            logger.warning(
                "REDIS_URL: maxmemory-policy is %s: searches under way and budgets can vanish; "
                "set noeviction",
                policy,
            )
        for step in (self._renew_soon, self._send_posts, *steps):
            task = asyncio.create_task(repeat(step))
            stack.callback(task.cancel)

    async def release(self) -> None:
        """Give the lease back, so that nobody waits for it to end."""
        try:
            await self.call("DEL", f"isp:replica:{self.replica}")
        except Away:
            logger.info("Redis is away: the lease ends by itself")

    async def call(self, *command: Any, even_if_away: bool = False) -> Any:
        """Send a command and return the reply; raises `Away`, and it may still be executed."""
        (reply,) = await self._replies([command], even_if_away=even_if_away)
        return reply

    async def pipeline(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send several commands at once; raises `Away`."""
        return await self._replies(commands)

    async def read_streams(self, block_s: float, *args: Any) -> Any:
        """Wait for new entries (XREAD), on a connection that is for this alone; raises `Away`."""
        try:
            async with asyncio.timeout(block_s + COMMAND_S):
                command = ("XREAD", "BLOCK", int(block_s * 1_000), *args)
                return await self._blocked.execute_command(*command)
        except (*UNREACHABLE, RedisError) as exc:
            raise Away from exc

    async def script(self, name: str, *args: Any, even_if_away: bool = False) -> Any:
        """Run a script; raises `Away`."""
        how = {"even_if_away": even_if_away}
        try:
            return await self.call("EVALSHA", DIGESTS[name], 0, *args, **how)
        except NoScriptError:
            return await self.call("EVAL", SCRIPTS[name], 0, *args, **how)

    async def before_deadline(self, name: str, *args: Any) -> Any:
        """Run a script that does nothing any more once its caller has given up; raises `Away`."""
        for _ in range(ATTEMPTS):
            until_s = time.monotonic() + COMMAND_S - ANSWER_S
            reply = await self.script(name, int(self._clock_ms + until_s * 1_000), *args)
            if reply[0] != b"late":
                return reply
            # This process had stalled, or another server answers.
            self._set_clock(*await self.call("TIME"))
        raise Away

    def post(self, *command: Any) -> None:
        """Send a command soon, in order; if Redis is away, when it is back."""
        self._posts.append(command)
        self._posted.set()

    def post_script(self, name: str, *args: Any) -> None:
        """Run a script soon, as `post` does."""
        self.post("EVAL", SCRIPTS[name], 0, *args)

    async def _replies(
        self, commands: Sequence[tuple[Any, ...]], *, even_if_away: bool = False
    ) -> list[Any]:
        if not (self.up or even_if_away):
            raise Away
        loop = asyncio.get_running_loop()
        sent = [(command, loop.create_future()) for command in commands]
        if not self._batch:
            loop.call_soon(self._send_batch)
        self._batch += sent
        futures = [future for _, future in sent]
        for _ in range(SLICES):
            _, late = await asyncio.wait(futures, timeout=COMMAND_S / SLICES)
            if not late:
                break
        replies = [TimeoutError() if future in late else future.result() for future in futures]
        for reply in replies:
            if isinstance(reply, NoScriptError):
                raise reply
            if isinstance(reply, UNREACHABLE):
                self._lose()
            if isinstance(reply, Exception):  # Or it takes no writes (OOM, READONLY).
                raise Away from reply
        return replies

    def _send_batch(self) -> None:
        """Send what was asked for in this turn of the loop together: that takes one round trip."""
        batch, self._batch = self._batch, []
        task = asyncio.create_task(self._execute(batch))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _execute(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]]) -> None:
        """Have these commands executed; once more where only the connection was broken."""

        async def execute() -> list[Any]:
            pipe = self.redis.pipeline(transaction=False)
            for command, _ in batch:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies

        try:
            try:
                replies = await execute()
            except RedisConnectionError:
                replies = await execute()
        except (*UNREACHABLE, RedisError) as exc:
            replies = [exc] * len(batch)
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    async def _send_posts(self) -> None:
        await self._posted.wait()
        while self._posts:
            some = [self._posts[i] for i in range(min(len(self._posts), POSTS_AT_ONCE))]
            await self.pipeline(*some)
            for _ in some:
                self._posts.popleft()
        self._posted.clear()

    async def _renew_soon(self) -> None:
        await asyncio.sleep(RENEW_S if self.up else AGAIN_S)
        await self._renew()

    async def _renew(self) -> None:
        """Give a sign of life, and act on what it finds."""
        args = (self.replica, LEASE_MS, GAP_MS, QUIET_MS)
        now_ms, held, epoch, *dead = await self.script("renew", *args, even_if_away=True)
        self._set_clock(0, now_ms * 1_000)
        lapsed = not held and epoch == self._epoch
        is_news = lapsed or epoch != self._epoch or not self.up
        if not self.up:
            logger.info("Redis is there")
        self.lapses += lapsed
        self.up, self._epoch = True, epoch
        for check_again in self.on_return if is_news else ():
            check_again()
        for hook in self.on_renewal:
            await hook()
        for name, is_ours in zip(dead[::2], dead[1::2], strict=True):
            for bury in self.on_death:
                bury(name.decode(), bool(is_ours))

    def _lose(self) -> None:
        if self.up:
            logger.warning("Redis is away; searches go on here, and are written when it is back")
        self.up = False

    def _set_clock(self, seconds: int, micros: int) -> None:
        """Only the clock of Redis counts. The answer took a while: ours is never ahead of it."""
        self._clock_ms = seconds * 1_000 + micros // 1_000 - time.monotonic() * 1_000
