"""A shutdown under load: whatever is under way gets its own truthful end."""

import asyncio
import signal
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.images.files import encoded, scene
from tests.e2e.images.workers import alive, tell, workers_of
from tests.e2e.test_drain import TERMINAL, begin, wait_until_draining
from tests.installed import reads_proc
from tests.processes import service, simulator
from tests.wire import dial, events_of, whole_frames

GUARD_S = 200
pytestmark = [reads_proc, pytest.mark.timeout(GUARD_S + 20)]

SOON, LATE = 60, 40
"""Streams that end within the grace, and streams that would never end."""
PICTURES, UPLOADS = 6, 10
GIF = encoded(scene(), "GIF")
HALF_AN_UPLOAD = (
    b"POST /search HTTP/1.1\r\nHost: service\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    b"--b\r\nContent-Disposition: form-data; name=image\r\n\r\nGIF"
)


async def test_streams_pictures_uploads_and_waiting_callers_each_get_their_own_end() -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        await enter(asyncio.timeout(GUARD_S))
        upstream = await enter(simulator())
        process = await enter(service(upstream, SHUTDOWN_GRACE_S="15"))
        http = await enter(httpx.AsyncClient(base_url=process.url, timeout=GUARD_S))
        soon = [await begin(stack, process, f"[sim gated tag=soon] {n}") for n in range(SOON)]
        late = [await begin(stack, process, f"[sim stall after=14] {n}") for n in range(LATE)]
        waits = {"image_url": IMAGE_URL, "prompt": "[sim hang]"}
        waiting = asyncio.create_task(http.post("/search", json=waits))
        workers = workers_of(process.pid)
        tell(workers, signal.SIGSTOP)  # Their pictures take for ever.
        pictures = [
            asyncio.create_task(http.post("/search", files={"image": ("a", GIF)}))
            for _ in range(PICTURES)
        ]
        uploads = [await enter(dial(process.url)) for _ in range(UPLOADS)]
        for upload in uploads:
            upload.send(HALF_AN_UPLOAD)
        calls = 0
        while calls < SOON + LATE + 1:
            calls = (await http.get(f"{upstream.url}/record")).json()["open"]

        process.signal(signal.SIGTERM)
        await wait_until_draining(http)
        for upload in uploads:
            status, _, problem = await upload.body()
            assert (status, problem["code"], problem["billed"]) == (503, "draining", "no")
        await http.post(f"{upstream.url}/gate/soon")
        ends = [events_of(whole_frames(await wire.rest())) for wire in [*soon, *late]]
        assert all([name for name in names if name in TERMINAL] == names[-1:] for names in ends)
        assert {names[-1] for names in ends[:SOON]} == {b"search.completed"}
        assert {names[-1] for names in ends[SOON:]} == {b"search.failed"}
        for answer in await asyncio.gather(*pictures):
            assert (answer.status_code, answer.json()["code"]) == (503, "draining")
            assert answer.json()["billed"] == "no"
        stopped = (await waiting).json()
        assert (stopped["code"], stopped["billed"]) == ("draining", "maybe")
        assert await process.ended() == 0, process.said
        assert not alive(workers)
        assert "Traceback" not in process.said
