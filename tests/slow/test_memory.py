"""Memory stays bounded: endless events, stalled readers, refused uploads, fifty pictures."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from PIL import Image

from tests.e2e.asking import IMAGE_URL
from tests.processes import Memory, Process, service, simulator
from tests.wire import dial, events_of, request, whole_frames

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20
READERS = 200
HELD_MAX_BYTES = 130_000
"""By one stalled reader, in the process: what any stream has, about 30 kB; 64 KiB, which uvloop
takes before it says that a transport is full; and the pieces being sent."""
RECEIVE_BYTES = 4_096
GUARD_S = 100
SMALL = {"UPSTREAM_MAX_EVENT_BYTES": "262144", "SEARCH_MAX_BYTES": "2097152"}
UPLOADS = 50
BUDGET_BYTES = 128 * MIB
BESIDE_BYTES = 64 * MIB
"""What is no picture: of each connection up to half a megabyte that was read and not yet taken in,
what was refused and is being let go, the searches' events, and what the C library keeps."""
AS_SHIPPED = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""As the container image sets it."""


@asynccontextmanager
async def process_with(**settings: str) -> AsyncIterator[Process]:
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, **settings) as process,
    ):
        # Once, what every search needs once.
        await search(process, "Look")
        yield process


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
    async with process_with(**settings) as process:
        memory = Memory(process)
        _, stream = await search(process, prompt)
        assert events_of(stream)[-1] == b"search.failed"
        assert memory.peak_bytes < most_bytes


@pytest.mark.parametrize("scenario", ["big_event bytes=4000000", "endless bytes=200"])
async def test_stalled_readers_hold_little_each(scenario: str) -> None:
    async with process_with(STREAM_SEND_TIMEOUT_S="60") as process, AsyncExitStack() as stack:
        search_id, whole = await search(process, f"[sim {scenario}]")
        again = request("GET", f"/search/{search_id}/stream")
        memory = Memory(process)
        for _ in range(READERS):
            stalled = dial(process.url, receive_bytes=RECEIVE_BYTES)
            wire = await stack.enter_async_context(stalled)
            wire.stop_reading()
            wire.send(again)
        async with dial(process.url) as wire:
            wire.send(again)
            await wire.head()
            assert whole_frames(await wire.rest()) == whole_frames(whole)
        assert memory.peak_bytes / READERS < HELD_MAX_BYTES


async def test_a_refused_upload_is_kept_nowhere() -> None:
    keys = {"ALLOW_ANONYMOUS": "false", "CLIENT_KEYS": "shop:key-of-the-shop-0123456789"}
    async with process_with(**keys) as process, dial(process.url) as wire:
        memory = Memory(process)
        lines = ["POST /search HTTP/1.1", "Host: x", "Content-Length: 50000000", "", ""]
        wire.send("\r\n".join(lines).encode())
        await wire.send_all(b"x" * 50_000, 1_000)
        assert (await wire.body())[0] == 401
        assert memory.peak_bytes < 12 * MIB


def photo() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    packed = io.BytesIO()
    noise = Image.effect_noise((1500, 1000), 80).convert("RGB").resize((4000, 3000))
    noise.save(packed, "JPEG", exif=exif, quality=92)
    return packed.getvalue()


@pytest.mark.parametrize("budget_bytes", [BUDGET_BYTES, 0])
async def test_fifty_uploads_at_once_take_no_more_memory_than_the_setting(
    budget_bytes: int,
) -> None:
    body = photo()
    limits = {"IMAGE_INFLIGHT_MAX_BYTES": str(budget_bytes)} | AS_SHIPPED
    async with (
        process_with(**limits) as process,
        httpx.AsyncClient(
            base_url=process.url,
            limits=httpx.Limits(max_connections=UPLOADS),
            timeout=GUARD_S,
            trust_env=False,
        ) as http,
    ):

        async def upload(number: int) -> httpx.Response:
            files = {"image": ("photo.jpg", body)}
            return await http.post("/search", data={"prompt": f"Look {number}"}, files=files)

        assert (await upload(UPLOADS)).status_code == 200
        memory = Memory(process)
        answers = await asyncio.gather(*map(upload, range(UPLOADS)))
        if budget_bytes:
            assert memory.peak_bytes <= budget_bytes + BESIDE_BYTES
        assert (await upload(UPLOADS + 1)).status_code == 200
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) < (UPLOADS if budget_bytes else 1)
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
