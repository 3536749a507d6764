"""Memory stays bounded: endless events, stalled readers, refused uploads, fifty pictures."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import pytest
from PIL import Image

from tests.e2e.asking import IMAGE_URL
from tests.e2e.images.files import encoded, exif
from tests.installed import reads_proc
from tests.processes import Memory, Process, service, simulator
from tests.waiting import eventually
from tests.wire import dial, events_of, request, whole_frames

GUARD_S = 280
pytestmark = [reads_proc, pytest.mark.timeout(GUARD_S + 20)]

MIB = 1 << 20
READERS = 200
HELD_MAX_BYTES = 130_000
"""By one stalled reader: 30 kB as any stream, the 64 KiB of a full transport, pieces being sent."""
RECEIVE_BYTES = 4_096
SMALL = {"UPSTREAM_MAX_EVENT_BYTES": "262144", "SEARCH_MAX_BYTES": "2097152"}
UPLOADS = 50
BUDGET_BYTES = 128 * MIB
BESIDE_BYTES = 96 * MIB
"""What is no picture: half a megabyte unread of each connection, events, the C library's own."""
LIMITS = {
    "IMAGE_INFLIGHT_MAX_BYTES": str(BUDGET_BYTES),
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # As the container image sets it.
}
KEYS = {"ALLOW_ANONYMOUS": "false", "CLIENT_KEYS": "shop:key-of-the-shop-0123456789"}
UPLOAD = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
PIPELINED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100_000
DESCRIPTORS, TRICKLES, OTHERS = 64, 60, 5
TRICKLE_S = 0.2


@asynccontextmanager
async def process_with(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, **settings) as process,
        httpx.AsyncClient(base_url=process.url, timeout=GUARD_S, trust_env=False) as http,
    ):
        # Once, what every search needs once.
        await search(process, "Look")
        yield process, http


async def search(process: Process, prompt: str) -> tuple[str, bytes]:
    async with dial(process.url) as wire:
        body = {"image_url": IMAGE_URL, "prompt": prompt}
        wire.send(request("POST", "/search/stream", body=body))
        head = await wire.head()
        if head.status != 200:
            return "", b"event: search.failed\n"
        return head.headers["x-search-id"], await wire.rest()


@pytest.mark.parametrize(
    ("prompt", "settings", "most_bytes"),
    [
        ("[sim event_without_end bytes=65536]", {}, 24 * MIB),
        ("[sim event_without_end bytes=65536]", SMALL, 12 * MIB),
        ("[sim endless bytes=10000]", SMALL, 32 * MIB),
        ("[sim endless bytes=1000]", {}, 200 * MIB),
    ],
)
async def test_what_never_ends_takes_bounded_memory_and_is_ended(
    prompt: str, settings: dict[str, str], most_bytes: int
) -> None:
    async with process_with(**settings) as (process, _):
        memory = Memory(process)
        _, stream = await search(process, prompt)
        assert events_of(stream)[-1] == b"search.failed"
        assert memory.peak_bytes < most_bytes


@pytest.mark.parametrize("scenario", ["big_event bytes=4000000", "endless bytes=200"])
async def test_stalled_readers_hold_little_each(scenario: str) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        process, _ = await enter(process_with(STREAM_SEND_TIMEOUT_S=str(GUARD_S)))
        search_id, whole = await search(process, f"[sim {scenario}]")
        again = request("GET", f"/search/{search_id}/stream")
        memory = Memory(process)
        for _ in range(READERS):
            wire = await enter(dial(process.url, receive_bytes=RECEIVE_BYTES))
            wire.stop_reading()
            wire.send(again)
        async with dial(process.url) as wire:
            wire.send(again)
            await wire.head()
            assert whole_frames(await wire.rest()) == whole_frames(whole)
        assert memory.peak_bytes / READERS < HELD_MAX_BYTES


async def test_a_refused_upload_is_kept_nowhere() -> None:
    async with process_with(**KEYS) as (process, _), dial(process.url) as wire:
        memory = Memory(process)
        wire.send(UPLOAD)
        await wire.send_all(b"x" * 50_000, 1_000)
        assert (await wire.body())[0] == 401
        assert memory.peak_bytes < 12 * MIB


@pytest.mark.parametrize("reads", [True, False])
async def test_a_connection_that_pipelines_requests_takes_little_memory(*, reads: bool) -> None:
    async with process_with() as (process, http), dial(process.url) as wire:
        memory = Memory(process)
        with suppress(ConnectionError):  # It is closed behind its first answer.
            wire.send(PIPELINED)
            await (wire.all() if reads else wire.writer.drain())
        assert (await http.get("/healthz")).status_code == 200
        assert memory.peak_bytes < 60_000_000
        wire.reset()


async def test_refused_uploads_that_trickle_do_not_keep_others_out() -> None:
    async with AsyncExitStack() as stack:
        process, http = await stack.enter_async_context(process_with(**KEYS))
        assert (await http.get("/healthz")).status_code == 200
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        wires = [await stack.enter_async_context(dial(process.url)) for _ in range(TRICKLES)]
        for wire in wires:
            wire.send(UPLOAD)
        assert (await wires[0].head()).status == 401

        async def is_let_in() -> bool:
            """While there is no descriptor left, the kernel accepts and the service resets."""
            for wire in wires:
                wire.send(b" ")
            await asyncio.sleep(TRICKLE_S)
            try:
                return (await http.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        for _ in range(OTHERS):
            await eventually(is_let_in, within_s=60)


async def test_fifty_uploads_at_once_take_no_more_memory_than_the_setting() -> None:
    noise = Image.effect_noise((1500, 1000), 80).convert("RGB").resize((4000, 3000))
    body = encoded(noise, "JPEG", exif=exif(orientation=6), quality=92)
    async with process_with(**LIMITS) as (process, http):

        async def upload(number: int) -> httpx.Response:
            files = {"image": ("photo.jpg", body)}
            return await http.post("/search", data={"prompt": f"Look {number}"}, files=files)

        assert (await upload(UPLOADS)).status_code == 200
        memory = Memory(process)
        answers = await asyncio.gather(*map(upload, range(UPLOADS)))
        assert memory.peak_bytes <= BUDGET_BYTES + BESIDE_BYTES
        assert (await upload(UPLOADS + 1)).status_code == 200
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) < UPLOADS
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
