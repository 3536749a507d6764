"""Pictures are decoded in processes of their own: what becomes of these, and of who waits."""

import asyncio
import base64
import gc
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.clock import quiet, skip, until
from tests.e2e.images.files import encoded, png, scene
from tests.e2e.images.uploads import Uploads, check_refusal, uploads
from tests.e2e.images.workers import (
    alive,
    cpu_ticks,
    descriptors,
    environment_of,
    session_niceness,
    tell,
    workers_of,
)
from tests.processes import Process, service, simulator
from tests.wire import dial, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GIF = encoded(scene(), "GIF")
BESIDE = 10
TIMEOUT_S, QUEUE_WAIT_S = 20, 30


@asynccontextmanager
async def one_worker(**settings: Any) -> AsyncIterator[tuple[Uploads, int]]:
    """A service with one worker, stopped: what is sent to it seems to take for ever."""
    async with asyncio.timeout(3600), uploads(image_workers=1, **settings) as service:
        (worker,) = workers_of()
        os.kill(worker, signal.SIGSTOP)
        yield service, worker


async def begun(service: Uploads, *bodies: bytes, **request: Any) -> list[asyncio.Task[Any]]:
    """Post each file, in this order; return once all have come to wait for the worker."""
    tasks = []
    for body in bodies:
        tasks.append(asyncio.create_task(service.post(body, **request)))
        await quiet()
    return tasks


@pytest.mark.parametrize("how", ["killed", "too slow"])
async def test_a_worker_that_ends_fails_its_picture_and_no_other(how: str) -> None:
    async with one_worker() as (service, worker):
        lost, *others = await begun(service, *[GIF] * (1 + BESIDE))
        if how == "killed":
            os.kill(worker, signal.SIGKILL)
        else:
            skip(TIMEOUT_S + 1)
        check_refusal(await lost, "image_too_complex", "memory or time")
        assert {(await other).status_code for other in others} == {200}
        assert worker not in alive(workers_of())
        assert len(workers_of()) == 1


@pytest.mark.parametrize(("kind", "mib"), [("WEBP", 160), ("AVIF", 130), ("TIFF", 130)])
async def test_a_picture_that_takes_too_much_memory_fails_alone(kind: str, mib: int) -> None:
    strip = {"compression": "tiff_lzw", "strip_size": 1 << 30} if kind == "TIFF" else {}
    large = encoded(Image.new("RGBA", (4_000, 3_000)), kind, **strip)
    async with uploads(image_worker_memory_bytes=mib << 20) as service:
        refused, *others = await asyncio.gather(
            service.post(large), *(service.post(GIF) for _ in range(BESIDE))
        )
        check_refusal(refused, "image_too_complex")
        assert {other.status_code for other in others} == {200}
        assert (await service.post(GIF)).status_code == 200


async def test_nothing_is_decoded_for_a_caller_who_has_left() -> None:
    async with one_worker() as (service, worker):
        url = "data:;base64," + base64.b64encode(GIF).decode()
        async with dial(service.service.url) as wire:
            wire.send(request("POST", "/search", body={"image_url": url}))
            await quiet()
            wire.reset()
            await quiet()
        assert (await service.post(GIF)).status_code == 200
        assert worker not in workers_of()
        assert len(service.urls) == 1


async def test_who_waits_too_long_for_a_worker_is_told_to_come_back() -> None:
    async with one_worker(image_timeout_s=0) as (service, worker):
        decoding, waiting = await begun(service, GIF, GIF)
        skip(QUEUE_WAIT_S + 1)
        refused = await waiting
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        os.kill(worker, signal.SIGCONT)
        assert (await decoding).status_code == 200


async def test_callers_take_turns() -> None:
    keys = {"client_keys": "one:" + "1" * 32 + ",two:" + "2" * 32, "allow_anonymous": False}
    async with one_worker(**keys) as (service, worker):
        ended: list[str] = []
        tasks: list[asyncio.Task[Any]] = []
        for key in "1111112":
            service.service.http.headers["Authorization"] = f"Bearer {key * 32}"
            tasks += await begun(service, GIF)
            tasks[-1].add_done_callback(lambda _, key=key: ended.append(key))  # type: ignore[misc]
        os.kill(worker, signal.SIGCONT)
        await asyncio.gather(*tasks)
        assert ended.index("2") < 5


async def test_no_process_and_no_descriptor_is_left_behind() -> None:
    large, settings = encoded(Image.new("RGBA", (4_000, 3_000)), "WEBP"), {"image_workers": 1}
    settings["image_worker_memory_bytes"] = 160 << 20
    async with asyncio.timeout(3600), uploads(**settings) as service:

        async def loses(body: bytes, number: signal.Signals, skipped_s: float = 0) -> None:
            tell(workers_of(), signal.SIGSTOP)
            (lost,) = await begun(service, body)
            tell(workers_of(), number)
            skip(skipped_s)
            check_refusal(await lost, "image_too_complex")
            assert (await service.post(GIF)).status_code == 200

        await service.post(GIF)
        gc.collect()
        before = descriptors()
        for _ in range(3):
            await loses(GIF, signal.SIGKILL)
            await loses(GIF, signal.SIGSTOP, TIMEOUT_S + 1)
            await loses(large, signal.SIGCONT)
        assert len(workers_of()) == 1
        assert descriptors() <= before + 1
    assert not workers_of()


async def test_workers_that_die_while_idle_are_replaced_and_nothing_is_left_behind() -> None:
    async with uploads() as service:
        await service.post(GIF)
        gc.collect()
        before = descriptors()
        for _ in range(5):
            dead = workers_of()
            tell(dead, signal.SIGKILL)
            await until(lambda dead=dead: not alive(dead))  # type: ignore[misc]
            assert (await service.post(GIF)).status_code == 200
        await until(lambda: len(workers_of()) == 2 and descriptors() <= before + 1)
    assert not workers_of()


async def test_busy_workers_and_the_time_of_images_are_in_the_metrics() -> None:
    async with one_worker() as (service, worker):
        (post,) = await begun(service, GIF)
        assert await service.service.metric("imagesearch_image_workers_busy") == 1
        os.kill(worker, signal.SIGCONT)
        assert (await post).status_code == 200
        assert await service.service.metric("imagesearch_image_workers_busy") == 0
        assert await service.service.metric("imagesearch_image_seconds_count") == 1


@asynccontextmanager
async def processes(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    async with (
        asyncio.timeout(60),
        simulator() as upstream,
        service(upstream, **settings) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        assert (await http.get("/healthz")).status_code == 200  # It has started.
        yield process, http


async def test_who_waits_for_a_picture_is_told_when_the_service_shuts_down() -> None:
    async with processes(SHUTDOWN_GRACE_S="2") as (process, http):
        workers = workers_of(process.pid)
        tell(workers, signal.SIGSTOP)
        posts = [
            asyncio.create_task(http.post("/search", files={"image": ("a", GIF)})) for _ in range(6)
        ]
        for _ in range(20):
            await http.get("/healthz")
        process.signal(signal.SIGTERM)
        answers = await asyncio.gather(*posts)
        assert [answer.json()["code"] for answer in answers] == ["draining"] * 6
        assert {answer.status_code for answer in answers} == {503}
        async with asyncio.timeout(2 + 5):
            assert await process.ended() == 0, process.said
        assert not alive(workers)


async def test_no_worker_outlives_a_service_that_is_killed() -> None:
    large = png(Image.new("L", (10_900, 10_900)), compress_level=1)
    async with processes() as (process, http):
        workers = workers_of(process.pid)
        post = asyncio.create_task(http.post("/search", files={"image": ("a", large)}))
        idle = {pid: cpu_ticks(pid) for pid in workers}
        await until(lambda: any(cpu_ticks(pid) > idle[pid] + 5 for pid in workers))
        process.signal(signal.SIGKILL)
        await process.ended()
        with pytest.raises(httpx.TransportError):
            await post
        async with asyncio.timeout(5):
            await until(lambda: not alive(workers))


async def test_a_worker_knows_nothing_of_the_services_environment() -> None:
    async with processes() as (process, _):
        for worker in workers_of(process.pid):
            assert len(environment_of(worker)) == 5
            assert not [name for name in environment_of(worker) if "DASHSCOPE" in name]


async def test_workers_give_way_to_the_event_loop() -> None:
    async with uploads():
        for worker in workers_of():
            ours = os.getpriority(os.PRIO_PROCESS, 0)
            assert os.getpriority(os.PRIO_PROCESS, worker) == min(ours + 5, 19)
            assert session_niceness(worker) in (5, None)


def test_a_worker_imports_nothing_of_the_service() -> None:
    code = "import sys, app.images.worker, app.images.decode; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"fastapi", "pydantic", "httpx", "uvicorn", "app.errors"} & set(modules)
