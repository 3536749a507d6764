"""Callers who come and go by the thousand leave nothing behind; STORM_STREAMS=10000: so many."""

import asyncio
import gc
import os
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.clock import settle, skip
from tests.e2e.asking import IMAGE_URL as URL
from tests.processes import KEY, Process, simulator
from tests.service import Running, running_against
from tests.wire import dial, events_of, request

STREAMS = int(os.environ.get("STORM_STREAMS", "2500"))
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


async def come_and_go(service: Running, chance: random.Random, number: int) -> str:
    where = chance.choice(list(SCENES))
    asked = {"image_url": URL, "prompt": f"[sim {SCENES[where]}] {number}"}
    by_get = request("GET", "/search/stream", query=asked)
    data = chance.choice([by_get, request("POST", "/search/stream", body=asked)])
    if where == "before it has asked":
        data = data[: chance.randrange(len(data))]
    async with dial(service.url) as wire:
        wire.send(data)
        if where.startswith("before"):
            await settle(chance.randrange(200))
        else:
            assert (await wire.head()).status == 200
            wanted, stream = chance.choice([0, 100, 1_000, 2_000]), b""
            while len(stream) < wanted and (piece := await wire.piece()):
                stream += piece
        if chance.random() < 0.5:
            wire.reset()
    return where


async def storm(service: Running) -> Counter[str]:
    chance, numbers, left = random.Random(4), iter(range(STREAMS)), Counter[str]()

    async def caller() -> None:
        for number in numbers:
            left[await come_and_go(service, chance, number)] += 1

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return left


async def rest(service: Running, upstream: Process) -> int:
    """Wait until nothing is under way; how many calls the upstream has had."""
    await service.until_metric("imagesearch_runs_active", 0)
    async with httpx.AsyncClient() as http:
        while (record := (await http.get(f"{upstream.url}/record")).json())["open"]:
            pass
    skip(100)
    await settle(100)
    gc.collect()
    return int(record["total"])


def left_over() -> tuple[int, int]:
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def search_afresh(service: Running, number: int) -> str:
    async with dial(service.url) as wire:
        body = {"image_url": URL, "prompt": f"Are you still there? {number}"}
        wire.send(request("POST", "/search/stream", body=body))
        await wire.head()
        return events_of(await wire.rest())[-1].decode()


@pytest.mark.timeout(900)
async def test_thousands_of_dropped_streams_leave_nothing_behind() -> None:
    async with (
        simulator() as upstream,
        running_against(
            f"{upstream.url}/compatible-mode/v1",
            dashscope_api_key=KEY,
            stream_linger_s=0,
            search_retention_s=10,
            capacity=AT_ONCE,
            capacity_wait_s=600,
        ) as service,
    ):
        assert await search_afresh(service, -1) == "search.completed"
        await rest(service, upstream)
        before = left_over()
        left = await storm(service)
        assert await rest(service, upstream) > STREAMS // 2
        assert (set(left), left.total()) == (set(SCENES), STREAMS)
        assert await service.metric("imagesearch_store_bytes") == 0
        assert await service.metric("imagesearch_streams_open") == 0
        for now, then in zip(left_over(), before, strict=True):
            assert now <= then + SPARE
        # Each needs one of as many places as there are: none has been lost.
        fresh = await asyncio.gather(*(search_afresh(service, n) for n in range(AT_ONCE)))
        assert set(fresh) == {"search.completed"}
