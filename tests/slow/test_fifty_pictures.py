"""Fifty uploads at once in a real process: its memory is bounded by the setting."""

import asyncio
import io
import sys
from collections import Counter

import httpx
import pytest
from PIL import Image

from tests.processes import service, simulator
from tests.slow.memory import MIB, Memory

AT_ONCE = 50
BUDGET_BYTES = 128 * MIB
BESIDE_BYTES = 48 * MIB
"""What is no picture: of each connection up to half a megabyte that was read and not yet taken in,
the searches' events, and what the C library keeps."""

GUARD_S = 100
AS_SHIPPED = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""As the container image sets it."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def photo() -> bytes:
    """12 megapixels of 8 MB, lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    packed = io.BytesIO()
    noise = Image.effect_noise((1500, 1000), 80).convert("RGB").resize((4000, 3000))
    noise.save(packed, "JPEG", exif=exif, quality=92)
    return packed.getvalue()


async def upload(http: httpx.AsyncClient, url: str, number: int, body: bytes) -> httpx.Response:
    form = {"prompt": f"[sim normal] {number}"}
    return await http.post(f"{url}/search", data=form, files={"image": ("photo.jpg", body)})


async def fifty_at_once(budget_bytes: int) -> tuple[list[httpx.Response], int]:
    """The answers, and the memory that the service took for them, in bytes."""
    body = photo()
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, IMAGE_INFLIGHT_MAX_BYTES=str(budget_bytes), **AS_SHIPPED) as process,
        httpx.AsyncClient(limits=limits, timeout=GUARD_S, trust_env=False) as http,
    ):
        assert (await upload(http, process.url, AT_ONCE, body)).status_code == 200
        memory = Memory(process)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(upload(http, process.url, number, body))
                for number in range(AT_ONCE)
            ]
        peak_bytes = memory.peak_bytes
        assert (await upload(http, process.url, AT_ONCE + 1, body)).status_code == 200
    return [each.result() for each in asked], peak_bytes


async def test_fifty_uploads_at_once_take_no_more_memory_than_the_setting() -> None:
    answers, peak_bytes = await fifty_at_once(BUDGET_BYTES)
    assert peak_bytes <= BUDGET_BYTES + BESIDE_BYTES
    counted = Counter(answer.status_code for answer in answers)
    assert set(counted) <= {200, 503}
    assert counted[200]
    for answer in answers:
        if answer.status_code != 200:
            assert answer.json()["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) > 0


async def test_without_the_setting_none_is_refused() -> None:
    answers, _ = await fifty_at_once(0)
    assert {answer.status_code for answer in answers} == {200}
