"""Callers who come and go by the thousand leave nothing behind."""

import asyncio
import gc
import random
from collections import Counter
from itertools import chain
from pathlib import Path

import httpx
import pytest

from app.upstream.pool import Pool
from app.upstream.transport import PooledTransport
from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.processes import KEY, Process, simulator
from tests.service import GALLERY_URL, Running, running_against
from tests.wire import Wire, dial, events_of, request

STREAMS = 10_000
AT_ONCE = 200
URL = GALLERY_URL + PICTURES[7].name

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


def pool(service: Running) -> Pool:
    """The connections to the upstream."""
    transport = service.service.searches.upstream._transport
    assert isinstance(transport, PooledTransport)
    return transport.pool


async def calls(upstream: Process) -> dict[str, int]:
    """What the stand-in has counted."""
    async with httpx.AsyncClient() as http:
        counted: dict[str, int] = (await http.get(f"{upstream.url}/record")).json()
        return counted


async def rest(service: Running, upstream: Process) -> None:
    """Wait until nothing is under way, and end idle connections, which are kept and no leak."""
    await until(lambda: not service.service.runs.active)
    while (await calls(upstream))["open"]:
        pass
    for connection in chain(*pool(service)._idle.values()):
        connection.abort()
    skip(100)
    await settle(100)
    gc.collect()


def left_over() -> tuple[int, list[str]]:
    """Tasks, and what is open, by kind."""
    descriptors = list(Path("/proc/self/fd").iterdir())
    # The listing's own is gone by now.
    kinds = [str(one.readlink()).partition(":")[0] for one in descriptors if one.is_symlink()]
    return len(asyncio.all_tasks()), sorted(kinds)


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
        assert not pool(service)._all
        assert service.service.guards.capacity.taken == 0
        assert service.service.guards.capacity.waiting == 0
        assert service.service.runs.size_bytes == 0
        assert service.service.metrics.streams_open._value.get() == 0
        assert left_over() == before
        async with asyncio.TaskGroup() as group:
            fresh = [group.create_task(search_afresh(service, n)) for n in range(AT_ONCE)]
        assert {one.result() for one in fresh} == {"search.completed"}
