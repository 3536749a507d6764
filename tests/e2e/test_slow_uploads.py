"""Uploads that take their time, that stop, and what is left in memory of those that have come."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.e2e.images.files import jpeg, noise
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial

GUARD_S = 3_600
IDLE_S = 15
JSON = "application/json"
FORM = "multipart/form-data; boundary=x"
PICTURE = jpeg()
BODIES = {
    JSON: json.dumps({"image_url": GALLERY_URL + PICTURES[7].name}).encode(),
    FORM: b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    + PICTURE
    + b"\r\n--x--\r\n",
}
HELD_MAX_BYTES = 500_000


def head(kind: str) -> bytes:
    lines = ["POST /search HTTP/1.1", "Host: x", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, f"Content-Length: {len(BODIES[kind])}", "", ""]).encode()


async def received(service: Running, n_bytes: int) -> None:
    await until(lambda: service.service.intake.memory.used_bytes == n_bytes)


async def answer(wire: Wire) -> tuple[int, dict[str, Any]]:
    status, headers = await wire.head()
    body = await wire.reader.readexactly(int(headers["content-length"]))
    return status, json.loads(body)


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_that_stops_is_ended_and_frees_its_memory(kind: str) -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(head(kind) + BODIES[kind][:20])
        await received(service, 20)
        skip(IDLE_S)
        status, problem = await answer(wire)
        assert (status, problem["code"]) == (400, "malformed_body")
        assert problem["detail"] == "Nothing of the body came for 15 s."
        await received(service, 0)


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_may_take_its_time_as_long_as_something_comes(kind: str) -> None:
    body = BODIES[kind]
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(head(kind))
        step = len(body) // 4
        for at in range(0, len(body), step):
            await settle()
            skip(IDLE_S - 1)
            wire.send(body[at : at + step])
            if at + step < len(body):
                await received(service, at + step)
        assert (await answer(wire))[0] == 200


async def test_where_time_is_not_limited_an_upload_may_pause_for_ever() -> None:
    body = BODIES[JSON]
    async with (
        asyncio.timeout(2 * GUARD_S),
        running(upload_idle_timeout_s=0) as service,
        dial(service.url) as wire,
    ):
        wire.send(head(JSON) + body[:20])
        await received(service, 20)
        skip(GUARD_S)
        wire.send(body[20:])
        assert (await answer(wire))[0] == 200


@pytest.fixture
def traced() -> Iterator[None]:
    """Memory is traced, and no garbage collector tidies up."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def held_bytes() -> int:
    """What lives of the bodies and of the URLs that were made of them."""
    app = Path(__file__).parents[2] / "app"
    files = (app / "api" / "multipart.py", app / "images" / "encode.py")
    kept = [tracemalloc.Filter(inclusive=True, filename_pattern=str(file)) for file in files]
    found = tracemalloc.take_snapshot().filter_traces(kept).statistics("filename")
    return sum(one.size for one in found)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("picture", "status"), [(jpeg(noise(700, 700)), 200), (bytes(1_000_000), 415)]
)
async def test_a_picture_is_gone_when_its_answer_is_there(picture: bytes, status: int) -> None:
    async with running() as service:
        for number in range(3):
            response = await service.http.post(
                "/search", files={"image": ("a.jpg", picture)}, data={"prompt": f"Search {number}"}
            )
            assert response.status_code == status
        assert len(picture) > HELD_MAX_BYTES
        # The answer is there before the last of its handler's frames have ended.
        await settle()
        assert held_bytes() < HELD_MAX_BYTES
