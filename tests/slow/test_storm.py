"""Callers who come and go by the thousand leave nothing behind."""

import asyncio
import gc
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.clock import settle, skip
from tests.e2e.asking import IMAGE_URL as URL
from tests.processes import KEY, Process, simulator
from tests.service import Running, running_against
from tests.wire import Wire, dial, events_of, request

STREAMS = 10_000
AT_ONCE = 200
SPARE = 5
"""An idle connection that is kept has a task and sockets, at both its ends, and is no leak."""

# Where a caller leaves, and how the upstream makes sure that it is there.
SCENES = {
    "before it has asked": "normal",
    "before headers": "hang",
    "before the first event": "stall_before_first",
    "in the search": "stall after=8",
    "between deltas": "endless bytes=20 pace=0.01",
    "anywhere": "normal",
}


class Storm:
    """Streams that are opened and dropped, each somewhere else."""

    def __init__(self, service: Running, seed: int) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.statuses: Counter[int] = Counter()
        self.left: Counter[str] = Counter()

    async def blow(self) -> None:
        """Keep `AT_ONCE` callers coming and going until all have been."""
        numbers = iter(range(STREAMS))

        async def caller() -> None:
            for number in numbers:
                await self._come_and_go(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(caller())

    async def _come_and_go(self, number: int) -> None:
        where = self.chance.choice(list(SCENES))
        asked = {"image_url": URL, "prompt": f"[sim {SCENES[where]}] {number}"}
        async with dial(self.service.url) as wire:
            if self.chance.random() < 0.5:
                data = request("GET", "/search/stream", query=asked)
            else:
                data = request("POST", "/search/stream", body=asked)
            if where == "before it has asked":
                data = data[: self.chance.randrange(len(data))]
            wire.send(data)
            await self._read_on(wire, where)
            self.left[where] += 1
            if self.chance.random() < 0.5:
                wire.reset()

    async def _read_on(self, wire: Wire, where: str) -> None:
        if where.startswith("before"):
            await settle(self.chance.randrange(200))
            return
        head = await wire.head()
        self.statuses[head.status] += 1
        wanted, stream = self.chance.choice([0, 100, 1_000, 2_000]), b""
        while len(stream) < wanted and (piece := await wire.piece()):
            stream += piece


async def calls(upstream: Process) -> dict[str, int]:
    """What the stand-in has counted."""
    async with httpx.AsyncClient() as http:
        counted: dict[str, int] = (await http.get(f"{upstream.url}/record")).json()
        return counted


async def rest(service: Running, upstream: Process) -> None:
    """Wait until nothing is under way, and let idle connections end."""
    await service.until_metric("imagesearch_runs_active", 0)
    while (await calls(upstream))["open"]:
        pass
    skip(100)
    await settle(100)
    gc.collect()


def left_over() -> tuple[int, int]:
    """How many tasks there are, and how many files and sockets are open."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def search_afresh(service: Running, number: int) -> str:
    async with dial(service.url) as wire:
        body = {"image_url": URL, "prompt": f"Are you still there? {number}"}
        wire.send(request("POST", "/search/stream", body=body))
        await wire.head()
        return events_of(await wire.rest())[-1].decode()


@pytest.mark.timeout(600)
async def test_ten_thousand_dropped_streams_leave_nothing_behind() -> None:
    async with (
        simulator() as upstream,
        running_against(
            f"{upstream.url}/compatible-mode/v1",
            dashscope_api_key=KEY,
            stream_linger_s=0,
            search_retention_s=10,
            capacity=AT_ONCE,
            capacity_wait_s=60,
        ) as service,
    ):
        assert await search_afresh(service, -1) == "search.completed"
        await rest(service, upstream)
        before = left_over()
        storm = Storm(service, seed=4)
        await storm.blow()
        await rest(service, upstream)
        assert sum(storm.left.values()) == STREAMS
        assert set(storm.statuses) == {200}
        assert (await calls(upstream))["total"] > STREAMS // 2
        assert await service.metric("imagesearch_store_bytes") == 0
        assert await service.metric("imagesearch_streams_open") == 0
        for now, then in zip(left_over(), before, strict=True):
            assert now <= then + SPARE
        # Each needs one of as many places as there are: none has been lost.
        async with asyncio.TaskGroup() as group:
            fresh = [group.create_task(search_afresh(service, n)) for n in range(AT_ONCE)]
        assert {one.result() for one in fresh} == {"search.completed"}
