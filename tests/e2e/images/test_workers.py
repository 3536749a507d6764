"""Pictures are decoded in processes of their own: what becomes of these, and of who waits."""

import asyncio
import base64
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.clock import quiet, skip, until
from tests.e2e.images.files import encoded, png, scene
from tests.e2e.images.uploads import Uploads, check_refusal, uploads
from tests.e2e.images.workers import alive, cpu_ticks, descriptors, environment_of, tell, workers_of
from tests.installed import reads_proc
from tests.processes import service, simulator
from tests.wire import dial, request

pytestmark = reads_proc

GIF = encoded(scene(), "GIF")
BESIDE = 10
TIMEOUT_S, QUEUE_WAIT_S = 20, 30


@cache
def large(kind: str) -> bytes:
    """A file of few bytes and twelve megapixels."""
    strip = {"compression": "tiff_lzw", "strip_size": 1 << 30} if kind == "TIFF" else {}
    return encoded(Image.new("RGBA", (4_000, 3_000)), kind, **strip)


@asynccontextmanager
async def one_worker(**settings: Any) -> AsyncIterator[tuple[Uploads, int]]:
    """A service with one worker, stopped: what is sent to it seems to take for ever."""
    async with asyncio.timeout(3600), uploads(image_workers=1, **settings) as service:
        (worker,) = workers_of()
        os.kill(worker, signal.SIGSTOP)
        yield service, worker


async def begun(service: Uploads, *bodies: bytes) -> list[asyncio.Task[Any]]:
    """Post each file, in this order; return once all have come to wait for the worker."""
    tasks = []
    for body in bodies:
        tasks.append(asyncio.create_task(service.post(body)))
        await quiet()
    return tasks


@pytest.mark.parametrize("how", ["killed", "too slow", "out of memory", "killed while idle"])
async def test_a_worker_that_ends_fails_its_picture_alone_and_leaves_nothing_behind(
    how: str,
) -> None:
    async with (
        asyncio.timeout(3600),
        uploads(image_workers=1, image_worker_memory_bytes=130 << 20) as service,
    ):
        await service.post(GIF)
        gc.collect()
        before = descriptors()
        for beside in (BESIDE, 0, 0):
            dying = workers_of()
            if how == "killed while idle":
                tell(dying, signal.SIGKILL)
                await until(lambda dying=dying: not alive(dying))  # type: ignore[misc]
            else:
                tell(dying, signal.SIGSTOP)
                lost, *others = await begun(service, large("TIFF"), *[GIF] * beside)
                if how == "too slow":
                    skip(TIMEOUT_S + 1)
                else:
                    tell(dying, signal.SIGKILL if how == "killed" else signal.SIGCONT)
                check_refusal(await lost, "image_too_complex", "memory or time")
                assert [(await other).status_code for other in others] == [200] * beside
            assert (await service.post(GIF)).status_code == 200
            assert not alive(dying)
            assert len(workers_of()) == 1
        skip(100)  # No idle connection is kept so long.
        await until(lambda: descriptors() <= before + 1)
    assert not workers_of()


async def test_a_decoder_that_calls_exhausted_memory_damage_is_not_believed() -> None:
    async with uploads(image_worker_memory_bytes=130 << 20) as service:
        await service.refused(large("AVIF"), "image_too_complex")
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
        assert await service.service.metric("imagesearch_image_workers_busy") == 1
        os.kill(worker, signal.SIGCONT)
        assert (await decoding).status_code == 200
        assert await service.service.metric("imagesearch_image_workers_busy") == 0
        assert await service.service.metric("imagesearch_image_seconds_count") > 0


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


async def test_a_worker_knows_no_secret_and_does_not_outlive_a_service_that_is_killed() -> None:
    vast = png(Image.new("L", (10_900, 10_900)), compress_level=1)
    async with (
        asyncio.timeout(60),
        simulator() as upstream,
        service(upstream) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        assert (await http.get("/healthz")).status_code == 200  # It has started.
        workers = workers_of(process.pid)
        for worker in workers:
            assert len(environment_of(worker)) == 5
            assert not [name for name in environment_of(worker) if "DASHSCOPE" in name]
        post = asyncio.create_task(http.post("/search", files={"image": ("a", vast)}))
        idle = {pid: cpu_ticks(pid) for pid in workers}
        await until(lambda: any(cpu_ticks(pid) > idle[pid] + 5 for pid in workers))
        process.signal(signal.SIGKILL)
        await process.ended()
        with pytest.raises(httpx.TransportError):
            await post
        await until(lambda: not alive(workers))
