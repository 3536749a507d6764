"""Three replicas as real processes, a real Redis, and the stand-in in the test's own loop."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from signal import SIGCONT
from typing import Any

import httpx

from simulator import Knobs
from simulator import create_app as create_simulator
from simulator.record import Record
from tests.e2e.asking import IMAGE_URL
from tests.processes import Process, in_front_of, started
from tests.redis_server import RedisServer, redis_server
from tests.service import KEY, ServerSentEvent, read_events, served

SLOW = Knobs(key=KEY, pace_s=0.05, silence_s=0.2)
PACED = Knobs(key=KEY, pace_s=0.02, silence_s=0.1)
TERMINAL = {"search.completed", "search.failed", "search.cancelled"}


@dataclass
class Replica:
    """One process, and a client of it."""

    process: Process
    http: httpx.AsyncClient

    async def follow(
        self, search_id: str, *, after: str = "0", most: int = 10**9
    ) -> list[ServerSentEvent]:
        """Events behind a number: to the end, or `most` of them."""
        got: list[ServerSentEvent] = []
        async with aclosing(self.events(search_id, after=after)) as events:
            async for event in events:
                got.append(event)
                if len(got) == most:
                    break
        return got

    async def events(
        self, search_id: str, *, after: str = "0"
    ) -> AsyncGenerator[ServerSentEvent, None]:
        url = f"/search/{search_id}/stream"
        headers = {"Last-Event-ID": f"{search_id}:{after}"}
        async with self.http.stream("GET", url, headers=headers) as response:
            assert response.status_code in (200, 204), await response.aread()
            if response.status_code == 200:
                async with aclosing(read_events(response)) as events:
                    async for event in events:
                        yield event

    async def start(self, prompt: str, **more: Any) -> str:
        """Begin a search that goes on in the background; its id."""
        body = {"image_url": IMAGE_URL, "prompt": prompt, "background": True} | more
        answer = await self.http.post("/search", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def metric(self, name: str) -> float:
        lines = (await self.http.get("/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@dataclass
class Three:
    """The replicas, the Redis between them and the upstream behind."""

    redis: RedisServer
    record: Record
    simulator: Any
    env: dict[str, str]
    stack: AsyncExitStack
    replicas: list[Replica] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def any(self) -> Replica:
        return self.chance.choice(self.replicas)

    async def add(self) -> Replica:
        process = await self.stack.enter_async_context(started("app", **self.env))
        client = httpx.AsyncClient(
            base_url=process.url, timeout=60, limits=httpx.Limits(max_connections=None)
        )
        replica = Replica(process, await self.stack.enter_async_context(client))
        self.replicas.append(replica)
        return replica

    async def asked(self, count: int) -> bool:
        """Whether so many requests have found their search."""
        found = [await one.metric("imagesearch_cache_total") for one in self.replicas]
        return sum(found) >= count

    async def all_up(self) -> bool:
        """Whether each has its Redis."""
        return min([await one.metric("imagesearch_redis_up") for one in self.replicas]) == 1

    async def nothing_is_reserved(self) -> bool:
        return float((await self.usage())["reserved"]) == 0

    async def open_gate(self, tag: str) -> None:
        await self.simulator.state.gate.open(tag)

    async def usage(self, replica: Replica | None = None) -> dict[str, Any]:
        answer = await (replica or self.any()).http.get("/usage")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def three(
    *, count: int = 3, knobs: Knobs = SLOW, url: str = "", **env: str
) -> AsyncIterator[Three]:
    """Run them; a process that was stopped goes on at the end, so that it can be ended."""
    simulator = create_simulator(knobs)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server())
        upstream_url = await stack.enter_async_context(served(simulator))
        given = in_front_of(upstream_url, KEY) | {
            "ALLOW_ANONYMOUS": "true",
            "IMAGE_WORKERS": "1",
            "REDIS_URL": url or redis.url,
            "SHUTDOWN_GRACE_S": "5",
        }
        all_of_them = Three(redis, simulator.state.record, simulator, given | env, stack)
        await asyncio.gather(*(all_of_them.add() for _ in range(count)))
        try:
            yield all_of_them
        finally:
            for replica in all_of_them.replicas:
                try:
                    replica.process.signal(SIGCONT)
                except ProcessLookupError:
                    continue
