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
from itertools import islice, repeat
from pathlib import Path
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from app.store.connection import UNREACHABLE, connect, probe

logger = logging.getLogger("app.store")

COMMAND_S = 1.0  # Most time of a command, repetition and connecting included.
SLICE_S, SLICES_MIN = 0.1, 3
"""Parts of it, and how many a command has at least that waited for others: a stall of this process
uses up one of them, however long it is."""
ATTEMPTS = 3  # How often a script may be late: then nothing was done, and Redis has answered.
ANSWER_S = 0.2  # How long before its caller gives up a script no longer begins.
LEASE_MS, RENEW_S = 10_000, 3.0  # A replica whose lease has ended counts as dead.
AGAIN_S = 0.5  # How often it is looked whether Redis is back.
GAP_MS = 5_000  # Redis was away if no replica gave a sign of life for so long.
QUIET_MS = 3_000  # After that no replica is judged for one renewal: all may have to renew first.
POSTS_MAX, POSTS_AT_ONCE = 100_000, 200

IS_AWAY = "Redis is away; searches go on here, and are written when it is back"
MAY_EVICT = "REDIS_URL: with maxmemory-policy %s searches and budgets vanish; set noeviction"

SCRIPTS = {
    path.stem: path.read_text("utf-8") for path in Path(__file__).parent.glob("scripts/*.lua")
}
DIGESTS = {name: sha1(text.encode()).hexdigest() for name, text in SCRIPTS.items()}  # noqa: S324 - EVALSHA's

Command = tuple[Any, ...]


class Away(Exception):
    """Redis did not answer in time, is known not to, or takes no writes."""


@dataclass(slots=True)
class Claim:
    """The money of a run of this process, in units of 1e-9 CNY."""

    estimate: str = ""  # What is reserved, for whoever has to settle it in our place.
    reserved: int = 0
    cost: int = 0


class Renewal(NamedTuple):
    """What a renewal of the lease found."""

    is_news: bool  # Redis is back, or has lost what was written, or our lease had ended.
    lapsed: bool  # Our lease had ended although Redis was there.
    dead: list[tuple[str, bool]]  # Replicas that are gone; whether their runs are ours to end.


async def keep_on(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step for ever; where Redis is away, or a step fails, after a pause."""
    while True:
        try:
            await step()
        except Exception as exc:
            if not isinstance(exc, Away):
                logger.exception("a step of the replication failed")
            await asyncio.sleep(AGAIN_S)


class Link:
    """One replica's commands and lease, and what it knows of Redis."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replica = secrets.token_hex(8)  # New at every start.
        self.up = False
        self.claims: dict[str, Claim] = {}  # By id, of runs whose end is not written yet.
        self._redis, self._blocked = connect(url), connect(url)
        self._epoch = b""
        self._clock_ms = 0.0
        self._batch: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []
        self._batch_began_s = 0.0
        self._asked = asyncio.Event()
        self._posts = deque[Command](maxlen=POSTS_MAX)
        self._posted = asyncio.Event()

    async def start(self, stack: AsyncExitStack, *steps: Callable[[], Awaitable[None]]) -> None:
        """Connect, and repeat these steps until `stack` ends; raises `SettingsError`."""
        if (policy := await probe(self.url)) != "noeviction":
            logger.warning(MAY_EVICT, policy)
        self.up = True
        for client in (self._redis, self._blocked):
            stack.push_async_callback(client.aclose)
        for step in (self._send_batch, self._send_posts, *steps):
            task = asyncio.create_task(keep_on(step))
            stack.callback(task.cancel)

    async def renew(self) -> Renewal:
        """Give a sign of life; raises `Away`."""
        script = ("EVAL", SCRIPTS["renew"], 0, self.replica, LEASE_MS, GAP_MS, QUIET_MS)
        ((now_ms, held, epoch, *dead),) = await self._replies([script])
        self._set_clock(0, now_ms * 1_000)
        lapsed = not held and epoch == self._epoch
        is_news = lapsed or epoch != self._epoch or not self.up
        if not self.up:
            logger.info("Redis is there")
        self.up, self._epoch = True, epoch
        names = (name.decode() for name in dead[::2])
        return Renewal(is_news, lapsed, list(zip(names, map(bool, dead[1::2]), strict=True)))

    async def call(self, *command: Any) -> Any:
        """Send a command and return the reply; raises `Away`, and it may still be executed."""
        (reply,) = await self.pipeline(command)
        return reply

    async def pipeline(self, *commands: Command) -> list[Any]:
        """Send several commands at once; raises `Away`."""
        if not self.up:
            raise Away
        return await self._replies(commands)

    async def script(self, name: str, *args: Any) -> Any:
        """Run a script; raises `Away`."""
        try:
            return await self.call("EVALSHA", DIGESTS[name], 0, *args)
        except NoScriptError:
            return await self.call("EVAL", SCRIPTS[name], 0, *args)

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

    async def read_streams(self, block_s: float, *args: Any) -> Any:
        """Wait for new entries (XREAD), on a connection that is for this alone; raises `Away`."""
        try:
            async with asyncio.timeout(block_s + COMMAND_S):
                command = ("XREAD", "BLOCK", int(block_s * 1_000), *args)
                return await self._blocked.execute_command(*command)
        except (OSError, RedisError) as exc:
            raise Away from exc

    def post(self, *command: Any) -> None:
        """Send a command soon, in order; if Redis is away, when it is back."""
        self._posts.append(command)
        self._posted.set()

    def post_script(self, name: str, *args: Any) -> None:
        """Run a script soon, as `post` does."""
        self.post("EVAL", SCRIPTS[name], 0, *args)

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """Have commands sent with those that others ask for meanwhile."""
        loop = asyncio.get_running_loop()
        if not self._batch:
            self._batch_began_s = loop.time()
        self._batch.append((commands, answer := loop.create_future()))
        self._asked.set()
        replies: list[Any] = await answer
        for reply in replies:
            if isinstance(reply, NoScriptError):
                raise reply
            if isinstance(reply, UNREACHABLE) and self.up:
                self.up = False
                logger.warning(IS_AWAY)
            if isinstance(reply, Exception):  # Or it takes no writes (OOM, READONLY).
                raise Away from reply
        return replies

    async def _send_batch(self) -> None:
        """Send what was asked for as one pipeline, since one round trip is enough for all."""
        await self._asked.wait()
        self._asked.clear()
        batch, self._batch = self._batch, []
        left_s = self._batch_began_s + COMMAND_S - asyncio.get_running_loop().time()
        pipe = self._redis.pipeline(transaction=False)
        for commands, _ in batch:
            for command in commands:
                pipe.execute_command(*command)
        executing = asyncio.ensure_future(pipe.execute(raise_on_error=False))
        for _ in range(max(SLICES_MIN, round(left_s / SLICE_S))):
            await asyncio.wait({executing}, timeout=SLICE_S)
            if executing.done():
                break
        error = executing.exception() if executing.done() else TimeoutError()
        replies = repeat(error) if error else iter(executing.result())
        executing.cancel()
        for commands, answer in batch:
            answered = list(islice(replies, len(commands)))
            if not answer.done():
                answer.set_result(answered)

    async def _send_posts(self) -> None:
        await self._posted.wait()
        while some := list(islice(self._posts, POSTS_AT_ONCE)):
            await self.pipeline(*some)
            for _ in some:
                self._posts.popleft()
        self._posted.clear()

    def _set_clock(self, seconds: int, micros: int) -> None:
        """Only the clock of Redis counts. The answer took a while: ours is never ahead of it."""
        self._clock_ms = seconds * 1_000 + micros // 1_000 - time.monotonic() * 1_000
