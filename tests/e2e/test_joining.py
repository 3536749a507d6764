"""Equal requests share one search, while it runs and for a while after."""

import asyncio
import random
from typing import Any

import httpx
import pytest

from simulator.gallery import jpeg
from simulator.pictures import PICTURES
from tests.clock import quiet, settle, skip
from tests.e2e.asking import IMAGE_URL, PICTURE, STALLED
from tests.service import GALLERY_URL, Running, ServerSentEvent, running
from tests.wire import dial, request

CROWD = 50
"""Of each kind: streams, and requests that wait for the end."""


def gated(tag: str) -> dict[str, Any]:
    return {"image_url": IMAGE_URL, "prompt": f"[sim gated tag={tag}]"}


async def ask_plainly(service: Running, asked: dict[str, Any]) -> httpx.Response:
    return await service.http.post("/search", json=asked)


async def ask_streaming(
    service: Running, asked: dict[str, Any], number: int
) -> tuple[httpx.Response, list[ServerSentEvent]]:
    if number % 2:
        return await service.stream("GET", params=asked)
    return await service.stream(json=asked)


async def test_a_hundred_equal_requests_at_once_are_one_search() -> None:
    asked = gated("crowd")
    async with running() as service, asyncio.TaskGroup() as group:
        streams = [
            group.create_task(ask_streaming(service, asked, number)) for number in range(CROWD)
        ]
        plain = [group.create_task(ask_plainly(service, asked)) for _ in range(CROWD)]
        await quiet()
        assert await service.metric("imagesearch_runs_active") == 1
        await service.open_gate("crowd")
        first_events = (await streams[0])[1]
        result = first_events[-1].result()
        for stream in streams:
            assert (await stream)[1] == first_events
        for one in plain:
            assert (await one).json() == result
        caches = [(await one)[0].headers["x-cache"] for one in streams]
        caches += [(await one).headers["x-cache"] for one in plain]
        assert sorted(caches) == ["coalesced"] * (2 * CROWD - 1) + ["miss"]
        assert result["status"] == "completed"
        assert service.record.total == service.record.billed == 1


@pytest.mark.parametrize("seed", range(2))
async def test_readers_that_leave_at_random_harm_nobody_else(seed: int) -> None:
    chance = random.Random(seed)
    asked = gated("crowd")

    async def leave_somewhere(service: Running) -> None:
        path = chance.choice(["/search", "/search/stream"])
        async with dial(service.url) as wire:
            wire.send(request("POST", path, body=asked))
            if path == "/search/stream" and chance.random() < 0.8:
                await wire.head()
                for _ in range(chance.randrange(3)):
                    await wire.piece()
            await settle(chance.randrange(50))
            wire.reset()

    async with running() as service, asyncio.TaskGroup() as group:
        staying = [group.create_task(ask_streaming(service, asked, number)) for number in range(20)]
        waiting = [group.create_task(ask_plainly(service, asked)) for _ in range(20)]
        leaving = [group.create_task(leave_somewhere(service)) for _ in range(60)]
        await quiet()
        await service.open_gate("crowd")
        await asyncio.gather(*leaving)
        events = (await staying[0])[1]
        assert events[-1].event == "search.completed"
        for stream in staying:
            assert (await stream)[1] == events
        for one in waiting:
            assert (await one).json() == events[-1].result()
        assert service.record.total == 1


async def test_what_was_found_is_found_again_until_a_fresh_look_is_asked_for() -> None:
    fresh = {"Cache-Control": "no-cache"}
    steps: list[tuple[str, str, dict[str, str], float, str]] = [
        ("the first", "POST", {}, 0, "miss"),
        ("the same again", "POST", {}, 0, "hit"),
        ("a fresh look", "POST", fresh, 0, "miss"),
        ("and now that one", "GET", {}, 299, "hit"),
        ("too long ago", "GET", {}, 2, "miss"),
        ("what SSE libraries add to every GET", "GET", fresh, 0, "hit"),
    ]
    async with running(cache_ttl_s=300) as service:
        for what, method, headers, after_s, cache in steps:
            skip(after_s)
            await settle()
            body = {"image_url": IMAGE_URL}
            asked: dict[str, Any] = {"params" if method == "GET" else "json": body}
            response, _ = await service.stream(method, headers=headers, **asked)
            assert response.headers["x-cache"] == cache, what
        asked = {"image_url": IMAGE_URL, "fresh": True}
        assert (await ask_plainly(service, asked)).headers["x-cache"] == "miss"


async def test_requests_that_differ_in_anything_are_different_searches() -> None:
    others: list[dict[str, Any]] = [
        {},
        {"image_url": GALLERY_URL + PICTURES[3].name},
        {"image_url": [IMAGE_URL, IMAGE_URL]},
        {"prompt": "Another question"},
        {"model": "qwen3.5-flash"},
        {"instructions": "Be short."},
        {"max_output_tokens": 500},
        {"thinking": False},
    ]
    async with running() as service:
        for other in others:
            answer = await service.http.post("/search", json={"image_url": IMAGE_URL} | other)
            assert answer.headers["x-cache"] == "miss", other
        assert service.record.total == len(others)


async def test_an_idempotency_key_joins_equal_requests_and_refuses_others() -> None:
    def form(boundary: str, prompt: str = "What?") -> dict[str, Any]:
        head = "Content-Disposition: form-data; name="
        body = f'--{boundary}\r\n{head}"prompt"\r\n\r\n{prompt}\r\n--{boundary}\r\n{head}"image"; '
        content = body.encode() + b'filename="x.jpg"\r\n\r\n' + jpeg(PICTURE.name)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return {
            "content": content + f"\r\n--{boundary}--\r\n".encode(),
            "headers": headers | {"Idempotency-Key": "order-1", "Cache-Control": "no-cache"},
        }

    async with running(cache_ttl_s=0) as service:
        first = await service.http.post("/search", **form("one"))
        again = await service.http.post("/search", **form("two"))
        streamed, events = await service.stream(**form("three"))
        assert first.json() == again.json() == events[-1].result()
        assert again.headers["x-cache"] == streamed.headers["x-cache"] == "hit"
        other = await service.http.post("/search", **form("four", "Something else?"))
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        assert service.record.total == 1
        skip(600)
        await settle()
        anew = await service.http.post("/search", **form("five", "Something else?"))
        assert anew.headers["x-cache"] == "miss"


async def test_a_failed_or_cancelled_search_frees_its_idempotency_key() -> None:
    key = {"Idempotency-Key": "order-1"}
    async with running() as service:
        broken = {"image_url": IMAGE_URL, "prompt": "[sim no_terminal times=1 tag=once]"}
        failed = await service.http.post("/search", json=broken, headers=key)
        assert failed.json()["code"] == "upstream_interrupted"
        again = await service.http.post("/search", json=broken, headers=key)
        assert (again.status_code, again.headers["x-cache"]) == (200, "miss")
        async with service.http.stream(
            "POST", "/search/stream", json=STALLED, headers={"Idempotency-Key": "order-2"}
        ) as response:
            await service.http.delete(f"/search/{response.headers['x-search-id']}")
        other = await service.http.post(
            "/search", json={"image_url": IMAGE_URL}, headers={"Idempotency-Key": "order-2"}
        )
        assert other.status_code == 200
