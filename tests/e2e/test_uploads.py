"""Uploads: refusals come early, what is slow may be, what stops or never ends is cut off."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from simulator.gallery import jpeg
from tests.clock import quiet, skip
from tests.e2e.asking import ASKED, IMAGE_URL, PICTURE
from tests.e2e.callers import BLOG_KEY, EVIL, GUARDED, SHOP_KEY
from tests.service import Running, running
from tests.wire import Wire, dial, events_of, last_id, request

MB = 1_000_000
UPLOAD_BYTES = 50 * MB
"""More than the kernel takes in for both sides."""
PIECE = b"x" * 50_000
GUARD_S = 3_600
IDLE_S = 15
"""`UPLOAD_IDLE_TIMEOUT_S` as shipped."""
JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
BODIES = {
    JSON: json.dumps(ASKED).encode(),
    FORM: b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    + jpeg(PICTURE.name)
    + b"\r\n--b--\r\n",
}


def upload(path: str, n_bytes: int | None, kind: str = FORM, *fields: str) -> bytes:
    """The head of a request whose body has so many bytes, or comes in chunks (None)."""
    framing = "Transfer-Encoding: chunked" if n_bytes is None else f"Content-Length: {n_bytes}"
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", framing, *fields]
    return "\r\n".join([*lines, "", ""]).encode()


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no key": ([], 401, "unauthorized"),
    "a wrong key": (["Authorization: Bearer sk-wrong"], 401, "unauthorized"),
    "a foreign page": (
        [f"Authorization: Bearer {BLOG_KEY}", f"Origin: {EVIL}"],
        403,
        "origin_not_allowed",
    ),
    "too many requests": ([f"Authorization: Bearer {SHOP_KEY}"], 429, "rate_limited"),
}


@asynccontextmanager
async def strict(**settings: Any) -> AsyncIterator[tuple[Running, Wire]]:
    """A service whose client `shop` has used up its rate, and a connection to it."""
    async with (
        asyncio.timeout(GUARD_S),
        running(**GUARDED, rate_limit="1/day", **settings) as service,
        dial(service.url) as wire,
    ):
        used = await service.http.post("/search", headers={"Authorization": f"Bearer {SHOP_KEY}"})
        assert used.status_code == 400
        yield service, wire


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
@pytest.mark.parametrize("why", REFUSED)
async def test_a_refusal_comes_before_the_body(why: str, path: str) -> None:
    fields, status, code = REFUSED[why]
    async with strict() as (_, wire):
        wire.send(upload(path, UPLOAD_BYTES, FORM, *fields))
        got, _, problem = await wire.body()
        assert (got, problem["code"]) == (status, code)


async def test_a_refusal_reaches_a_caller_who_sends_everything_first() -> None:
    async with strict() as (_, wire):
        wire.send(upload("/search", 20 * MB))
        await wire.send_all(PIECE, 20 * MB // len(PIECE))
        status, _, problem = await wire.body()
        assert (status, problem["code"]) == (401, "unauthorized")


async def test_a_refused_caller_may_hang_up_in_mid_upload() -> None:
    async with strict() as (service, wire):
        wire.send(upload("/search", UPLOAD_BYTES))
        await wire.send_all(PIECE, 20)
        assert (await wire.body())[0] == 401
        wire.reset()
        await quiet()
        assert (await service.http.get("/readyz")).status_code == 200


def sized() -> Iterator[bytes]:
    """A body with a length that is far off."""
    yield upload("/search", 10**12)
    while True:
        yield PIECE


def chunked() -> Iterator[bytes]:
    """One in chunks without end."""
    yield upload("/search", None)
    while True:
        yield b"c350\r\n" + PIECE + b"\r\n"


@pytest.mark.parametrize("body", [sized, chunked])
async def test_a_refused_caller_who_stops_sending_is_dropped(
    body: Callable[[], Iterator[bytes]],
) -> None:
    async with strict() as (_, wire):
        pieces = body()
        wire.send(next(pieces))
        assert (await wire.body())[0] == 401
        wire.send(next(pieces))
        await quiet()
        skip(IDLE_S)
        assert await wire.all() == b""


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_that_stops_is_ended(kind: str) -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(upload("/search", len(BODIES[kind]), kind) + BODIES[kind][:20])
        await quiet()
        skip(IDLE_S)
        status, _, problem = await wire.body()
        assert (status, problem["code"]) == (408, "upload_timeout")
        assert f"{IDLE_S} s" in problem["detail"]
        assert service.record.total == 0


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_may_take_its_time_as_long_as_something_comes(kind: str) -> None:
    body = BODIES[kind]
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(upload("/search", len(body), kind))
        step = len(body) // 4
        for at in range(0, len(body), step):
            await quiet()
            skip(IDLE_S - 1)
            wire.send(body[at : at + step])
        assert (await wire.body())[0] == 200


async def test_where_time_is_not_limited_an_upload_may_pause_for_ever() -> None:
    body = BODIES[JSON]
    off = {"upload_idle_timeout_s": 0}
    async with (
        asyncio.timeout(2 * GUARD_S),
        running(**off) as service,  # type: ignore[arg-type] # no knobs among them
        dial(service.url) as wire,
    ):
        wire.send(upload("/search", len(body), JSON) + body[:20])
        await quiet()
        skip(60)
        wire.send(body[20:])
        assert (await wire.body())[0] == 200


async def test_limits_of_size_are_enforced_while_the_body_still_arrives() -> None:
    async with running(body_max_bytes=50_000, image_max_bytes=20_000) as service:
        whole = await service.http.post("/search", json={"image_url": "x" * 60_000})
        assert (whole.status_code, whole.json()["code"]) == (413, "image_too_large")
        file = await service.http.post("/search", files={"image": ("x.jpg", b"\xff" * 30_000)})
        assert (file.status_code, file.json()["code"]) == (413, "image_too_large")
        assert "20000" in file.text

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1_000):
                yield b" " * 1_000

        kind = {"Content-Type": JSON}
        chunked = await service.http.post("/search", content=endless(), headers=kind)
        assert (chunked.status_code, chunked.json()["code"]) == (413, "image_too_large")


async def test_a_body_may_come_in_chunks_of_one_byte() -> None:
    body = json.dumps({"image_url": IMAGE_URL, "prompt": "x" * 5_000}).encode()
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in body)
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(upload("/search", None, JSON) + chunks + b"0\r\n\r\n")
        assert (await wire.body())[0] == 200


async def test_a_stream_that_is_resumed_takes_the_upload_while_it_goes_on() -> None:
    """As a client that repeats its POST does: its body is not needed, and is in nobody's way."""
    body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=live]"}
    async with asyncio.timeout(GUARD_S), running() as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=body))
            await wire.head()
            seen = last_id(await wire.events(3))
        async with dial(service.url) as wire:
            wire.send(upload("/search/stream", MB, FORM, f"Last-Event-ID: {seen}"))
            await wire.send_all(PIECE, MB // len(PIECE))
            assert (await wire.head()).status == 200
            await service.open_gate("live")
            assert events_of(await wire.rest())[-1] == b"search.completed"


async def test_a_caller_may_hang_up_in_mid_upload() -> None:
    async with asyncio.timeout(GUARD_S), running() as service:
        async with dial(service.url) as wire:
            wire.send(upload("/search", UPLOAD_BYTES, JSON))
            await wire.send_all(PIECE, 20)
            await quiet()
            wire.reset()
        await quiet()
        assert service.record.total == 0
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
