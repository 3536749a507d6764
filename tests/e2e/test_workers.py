"""`WORKERS`: several processes on one address, and what signals and deaths do to them."""

import os
import signal
from pathlib import Path

from tests.e2e.asking import ASKED
from tests.e2e.shipped import shipped
from tests.processes import Process, started
from tests.service import KEY, read_events
from tests.waiting import eventually

TWO = {"WORKERS": "2", "REDIS_URL": "redis://127.0.0.1:1", "ALLOW_ANONYMOUS": "true"}


def children_of(pid: int) -> set[int]:
    """The processes that a process has started, of any thread of it."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for one in found for child in one.read_text().split()}


def runs(pid: int) -> bool:
    """Whether a process is there, and has not ended."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


async def have_started(process: Process, *, picture_workers: int) -> None:
    async def ready() -> bool:
        workers = children_of(process.pid)
        return sum(len(children_of(one)) for one in workers) == picture_workers

    await eventually(ready, within_s=60)


async def test_two_processes_serve_one_address_and_either_shows_the_metrics_of_both() -> None:
    async with shipped(**TWO, IMAGE_WORKERS="3") as (process, http):
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
        assert 'imagesearch_build_info{version="' in text
    assert process.said.count("Application startup complete") == 2
    assert not any(map(runs, workers))


async def test_a_worker_that_dies_is_replaced_and_a_signal_has_all_drain() -> None:
    asked = ASKED | {"prompt": "[sim stall]"}
    async with shipped(**TWO, IMAGE_WORKERS="1") as (process, http):
        await have_started(process, picture_workers=2)
        before = children_of(process.pid)
        os.kill(min(before), signal.SIGKILL)

        async def replaced() -> bool:
            assert (await http.get("/readyz")).status_code == 200
            return len(children_of(process.pid) - before) == 1

        async def nothing_runs() -> bool:
            return "\nimagesearch_runs_active 0.0\n" in (await http.get("/metrics")).text

        await eventually(replaced)
        await have_started(process, picture_workers=2)
        assert (await http.post("/search", json=ASKED)).status_code == 200
        await eventually(nothing_runs)
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
    async with started("app", **settings) as process:
        await have_started(process, picture_workers=2)
        workers = children_of(process.pid)
        process.signal(signal.SIGKILL)

        async def ended() -> bool:
            return not any(map(runs, workers))

        await eventually(ended)
