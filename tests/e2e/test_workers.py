"""`WORKERS`: several processes on one address, and what signals and deaths do to them."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.e2e.asking import ASKED
from tests.e2e.images.workers import alive, children_of
from tests.e2e.shipped import shipped
from tests.processes import Process, started
from tests.redis_server import redis_server
from tests.service import KEY, read_events
from tests.waiting import eventually, shown

TWO = {"WORKERS": "2", "ALLOW_ANONYMOUS": "true"}


@asynccontextmanager
async def two(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Two processes on one address, and the Redis without which they do not start."""
    async with redis_server() as redis, shipped(**TWO, REDIS_URL=redis.url, **settings) as both:
        yield both


async def have_started(process: Process, *, picture_workers: int) -> None:
    async def ready() -> bool:
        workers = children_of(process.pid)
        return sum(len(children_of(one)) for one in workers) == picture_workers

    await eventually(ready, within_s=60)


async def test_two_processes_serve_one_address_and_either_shows_the_metrics_of_both() -> None:
    async with two(IMAGE_WORKERS="3") as (process, http):
        await have_started(process, picture_workers=3)
        workers = children_of(process.pid)
        assert len(workers) == 2
        assert sorted(len(children_of(one)) for one in workers) == [1, 2]
        for number in range(20):
            asked = ASKED | {"prompt": f"{number}"}
            assert (await http.post("/search", json=asked)).status_code == 200
        for _ in range(5):
            text = (await http.get("/metrics")).text
            line = 'imagesearch_searches_total{outcome="matched",status="completed"} 20.0\n'
            assert line in text
        await shown(http, "/metrics", "\nimagesearch_redis_up 1.0\n")
        assert 'imagesearch_build_info{version="' in text
    assert process.said.count("Application startup complete") == 2
    assert not alive(workers)


async def test_a_worker_that_dies_is_replaced_and_a_signal_has_all_drain() -> None:
    asked = ASKED | {"prompt": "[sim stall]"}
    async with two(IMAGE_WORKERS="1") as (process, http):
        await have_started(process, picture_workers=2)
        before = children_of(process.pid)
        os.kill(min(before), signal.SIGKILL)

        async def replaced() -> bool:
            assert (await http.get("/readyz")).status_code == 200
            return len(children_of(process.pid) - before) == 1

        await eventually(replaced)
        await have_started(process, picture_workers=2)
        assert (await http.post("/search", json=ASKED)).status_code == 200
        await shown(http, "/metrics", "\nimagesearch_runs_active 0.0\n")
        async with http.stream("POST", "/search/stream", json=asked) as response:
            events = read_events(response)
            await anext(events)
            process.signal(signal.SIGTERM)
            last = [event async for event in events][-1]
        assert (last.event, last.json()["error"]["code"]) == ("search.failed", "draining")
    [replacing] = [line for line in process.lines if "is replaced" in line]
    assert str(min(before)) in replacing


async def test_workers_do_not_outlive_the_process_that_started_them() -> None:
    settings = TWO | {"DASHSCOPE_API_KEY": KEY, "IMAGE_WORKERS": "1", "PORT": "0"}
    async with (
        redis_server() as redis,
        started("app", **settings, REDIS_URL=redis.url) as process,
    ):
        await have_started(process, picture_workers=2)
        workers = children_of(process.pid)
        process.signal(signal.SIGKILL)

        async def ended() -> bool:
            return not alive(workers)

        await eventually(ended)
