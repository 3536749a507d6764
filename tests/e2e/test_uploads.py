"""Uploads: refusals come early, what is slow may be, what stops or never ends is cut off."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from simulator.gallery import jpeg
from tests.clock import quiet, skip
from tests.e2e.asking import ASKED, PICTURE
from tests.e2e.callers import BLOG_KEY, EVIL, GUARDED, SHOP, SHOP_KEY
from tests.service import Running, running
from tests.wire import dial

IDLE_S = 15
"""`UPLOAD_IDLE_TIMEOUT_S` as shipped."""
PAUSE_S = 1
JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
BODIES = {
    JSON: json.dumps(ASKED).encode(),
    FORM: b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    + jpeg(PICTURE.name)
    + b"\r\n--b--\r\n",
}


def upload(path: str, n_bytes: int, kind: str, *fields: str) -> bytes:
    fields = (f"Content-Type: {kind}", f"Content-Length: {n_bytes}", *fields)
    lines = [f"POST {path} HTTP/1.1", "Host: x", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_refusal_comes_before_the_body() -> None:
    foreign = [f"Authorization: Bearer {BLOG_KEY}", f"Origin: {EVIL}"]
    async with running(**GUARDED, rate_limit="1/day") as service:
        # From then on the shop may not ask again today.
        assert (await service.http.post("/search", headers=SHOP)).status_code == 400
        for path in ("/search", "/search/stream"):
            for fields, status, code in (
                ([], 401, "unauthorized"),
                (foreign, 403, "origin_not_allowed"),
                ([f"Authorization: Bearer {SHOP_KEY}"], 429, "rate_limited"),
            ):
                async with dial(service.url) as wire:
                    wire.send(upload(path, 50_000_000, FORM, *fields))
                    got, _, problem = await wire.body()
                    assert (got, problem["code"]) == (status, code)


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_that_stops_is_ended(kind: str, service: Running) -> None:
    calls = service.record.total
    async with dial(service.url) as wire:
        wire.send(upload("/search", len(BODIES[kind]), kind) + BODIES[kind][:20])
        await quiet()
        skip(IDLE_S)
        status, _, problem = await wire.body()
        assert (status, problem["code"]) == (408, "upload_timeout")
        assert f"{IDLE_S} s" in problem["detail"]
        assert service.record.total == calls


@pytest.mark.parametrize("kind", BODIES)
async def test_an_upload_may_take_its_time_as_long_as_something_comes(
    kind: str, service: Running
) -> None:
    body = BODIES[kind]
    async with dial(service.url) as wire:
        wire.send(upload("/search", len(body), kind))
        step = len(body) // 4
        for at in range(0, len(body), step):
            await quiet()
            skip(IDLE_S - 1)
            wire.send(body[at : at + step])
        assert (await wire.body())[0] == 200


async def test_limits_of_size_are_enforced_while_the_body_still_arrives() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 1_000

    async with running(body_max_bytes=50_000, image_max_bytes=20_000) as service:
        for sent in (
            {"json": {"image_url": "x" * 60_000}},
            {"files": {"image": ("x.jpg", b"\xff" * 30_000)}},
            {"content": endless(), "headers": {"Content-Type": JSON}},
        ):
            refused = await service.http.post("/search", **sent)
            assert (refused.status_code, refused.json()["code"]) == (413, "image_too_large")
            assert ("20000" in refused.text) is ("files" in sent)


async def test_a_slow_upload_makes_no_head_late(service: Running) -> None:
    body, before_s = BODIES[JSON], await service.metric("imagesearch_head_seconds_sum")
    async with dial(service.url) as wire:
        began_at = time.monotonic()
        wire.send(upload("/search/stream", len(body), JSON) + body[:20])
        await asyncio.sleep(PAUSE_S)
        wire.send(body[20:])
        assert (await wire.head()).status == 200
        most_s = time.monotonic() - began_at - PAUSE_S / 2
    assert 0 < await service.metric("imagesearch_head_seconds_sum") - before_s < most_s
