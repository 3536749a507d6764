"""`WORKERS`: several processes on one address; and what two services on one Redis share."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.clock import until
from tests.e2e.asking import ASKED
from tests.e2e.callers import BLOG, GUARDED, SHOP
from tests.e2e.images.workers import alive, children_of
from tests.e2e.shipped import shipped
from tests.e2e.v1 import asked as asked_v1
from tests.e2e.v1 import create
from tests.processes import Process, started
from tests.redis_server import redis_server
from tests.service import KEY, read_events, running
from tests.waiting import eventually, shown

TWO = {"WORKERS": "2", "ALLOW_ANONYMOUS": "true"}


@asynccontextmanager
async def two(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Two processes on one address, and the Redis without which they do not start."""
    async with redis_server() as redis, shipped(**TWO, REDIS_URL=redis.url, **settings) as both:
        yield both


async def have_started(process: Process, *, picture_workers: int) -> None:
    """As many as there are to decode pictures."""
    await until(
        lambda: sum(len(children_of(one)) for one in children_of(process.pid)) == picture_workers
    )


async def test_two_processes_serve_one_address_and_either_shows_the_metrics_of_both() -> None:
    async with two(IMAGE_WORKERS="3") as (process, http):
        await have_started(process, picture_workers=3)
        workers = children_of(process.pid)
        assert len(workers) == 2
        for number in range(20):
            asked = ASKED | {"prompt": f"{number}"}
            assert (await http.post("/search", json=asked)).status_code == 200
        for _ in range(5):
            text = (await http.get("/metrics")).text
            line = 'imagesearch_searches_total{outcome="matched",status="completed"} 20.0\n'
            assert line in text
        await shown(http, "/metrics", "\nimagesearch_redis_up 1.0\n")
        assert 'imagesearch_build_info{version="' in text
        assert sorted(len(children_of(one)) for one in workers) == [1, 2]
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
    async with redis_server() as redis, started("app", **settings, REDIS_URL=redis.url) as process:
        await have_started(process, picture_workers=2)
        workers = children_of(process.pid)
        process.signal(signal.SIGKILL)
        try:
            async with asyncio.timeout(30):
                await until(lambda: not alive(workers))
        finally:
            for left in alive(workers):
                os.kill(left, signal.SIGKILL)


KEYED, FRESH = {"Idempotency-Key": "order-1"}, {"Cache-Control": "no-cache"}
ELSEWHERE: list[tuple[dict[str, str], dict[str, str], int, str | None]] = [
    # what another replica is asked then; its status, and where the answer is from
    (ASKED, KEYED | FRESH, 200, "hit"),
    (ASKED | {"prompt": "Another?"}, KEYED, 422, None),
    (ASKED, {}, 200, "hit"),
    (ASKED, FRESH, 200, "miss"),
]


async def test_what_one_replica_has_of_a_client_another_gives_to_that_client_alone() -> None:
    async with redis_server() as redis, AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running(**GUARDED, redis_url=redis.url))
            for _ in range(2)
        ]
        other.http.headers.update(SHOP)
        made = await one.http.post("/search", json=ASKED, headers=SHOP | KEYED)
        for body, headers, status, cache in ELSEWHERE:
            answer = await other.http.post("/search", json=body, headers=headers)
            assert (answer.status_code, answer.headers.get("x-cache")) == (status, cache)
        begun = await create(one, asked_v1("[sim stall after=14]", background=True), **SHOP)
        for path in (f"/search/{made.json()['id']}", f"/v1/responses/{begun.json()['id']}"):
            await shown(other.http, path, '"id"')
            assert (await other.http.get(path, headers=BLOG)).status_code == 404
