"""On SIGTERM the process lets searches finish, ends the others with an event, and exits 0."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.e2e.asking import IMAGE_URL
from tests.processes import Process, service, simulator
from tests.wire import EVENT_STREAM, Wire, dial, events_of, last_id, request, whole_frames

SOON, LATE = 30, 20
"""Streams that end within the grace, once their gate is opened, and that would never end."""
TERMINAL = {b"search.completed", b"search.failed", b"search.cancelled"}


@asynccontextmanager
async def processes(**settings: str) -> AsyncIterator[tuple[Process, Process]]:
    async with (
        asyncio.timeout(90),
        simulator() as upstream,
        service(upstream, **settings) as process,
    ):
        yield upstream, process


async def begin(stack: AsyncExitStack, process: Process, prompt: str) -> Wire:
    """Open a stream, and read its status."""
    wire = await stack.enter_async_context(dial(process.url))
    wire.send(request("POST", "/search/stream", body={"image_url": IMAGE_URL, "prompt": prompt}))
    assert (await wire.head()).status == 200
    return wire


async def wait_until_draining(http: httpx.AsyncClient) -> None:
    while (ready := await http.get("/readyz")).status_code == 200:
        pass
    assert int(ready.headers["retry-after"]) > 0


async def test_a_drain_under_load_cuts_nobody() -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        upstream, process = await enter(processes(SHUTDOWN_GRACE_S="2"))
        http = await enter(httpx.AsyncClient(base_url=process.url, timeout=60))
        # First, so that the upstream has it long before the shutdown.
        v1 = {"model": "qwen3.7-plus", "input": "[sim hang]"}
        v1_waiting = asyncio.create_task(http.post("/v1/responses", json=v1))
        left, *soon = [
            await begin(stack, process, f"[sim gated tag=soon] {n}") for n in range(SOON)
        ]
        late = [await begin(stack, process, f"[sim stall after=14] {n}") for n in range(LATE)]
        plain = {"image_url": IMAGE_URL, "prompt": "[sim stall after=14] 0"}
        waiting = asyncio.create_task(http.post("/search", json=plain))
        v1_stream = await enter(dial(process.url))
        stalled = {**v1, "input": "[sim stall]", "stream": True}
        v1_stream.send(request("POST", "/v1/responses", body=stalled))
        assert (await v1_stream.head()).status == 200
        seen = last_id(await left.events(1))

        process.signal(signal.SIGTERM)
        await wait_until_draining(http)
        path, asked = "/search/stream", {"image_url": IMAGE_URL}
        by_get = await http.get(path, params=asked, headers=EVENT_STREAM)
        for refused in (by_get, await http.post(path, json=asked)):
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.json()["retryable"]
        left.reset()
        again = await enter(dial(process.url))
        again.send(request("GET", "/search/stream", headers={"Last-Event-ID": seen}))
        assert (await again.head()).status == 200
        await http.post(f"{upstream.url}/gate/soon")

        finished = [await wire.rest() for wire in (again, *soon)]
        broken = [await wire.rest() for wire in late]
        assert await process.ended() == 0, process.said
        for stream in (*finished, *broken):
            names = events_of(whole_frames(stream))
            assert [name for name in names if name in TERMINAL] == names[-1:]
        assert {events_of(stream)[-1] for stream in finished} == {b"search.completed"}
        check_told_of_the_shutdown(broken)
        assert (await waiting).json()["code"] == "draining"
        # The call that was stopped may have been billed, so no SDK shall repeat it by itself.
        stopped = await v1_waiting
        assert (stopped.status_code, stopped.json()["error"]["code"]) == (503, "draining")
        assert stopped.headers["x-should-retry"] == "false"
        *_, last = (await v1_stream.rest()).split(b"\n\n")[:-1]
        assert last.startswith(b"event: response.failed\n")
        assert b'"draining"' in last


def check_told_of_the_shutdown(streams: list[bytes]) -> None:
    for stream in streams:
        last = stream.strip().rpartition(b"\n\n")[2].decode()
        fields = dict(re.findall(r"^(\w+): (.*)$", last, re.MULTILINE))
        error = json.loads(fields["data"])["error"]
        assert (fields["event"], error["code"]) == ("search.failed", "draining")


async def test_a_second_signal_ends_the_grace_and_still_cuts_nobody() -> None:
    async with AsyncExitStack() as stack:
        _, process = await stack.enter_async_context(processes(SHUTDOWN_GRACE_S="3600"))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=process.url))
        wire = await begin(stack, process, "[sim stall after=14]")
        process.signal(signal.SIGTERM)
        await wait_until_draining(http)
        process.signal(signal.SIGTERM)
        check_told_of_the_shutdown([await wire.rest()])
        assert await process.ended() == 0, process.said
        assert "Traceback" not in process.said
