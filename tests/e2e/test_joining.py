"""Equal requests share one search, while it runs and for a while after."""

import asyncio
from typing import Any

import httpx

from simulator.gallery import jpeg
from tests.clock import quiet, settle, skip
from tests.e2e.asking import IMAGE_URL, PICTURE, STALLED
from tests.service import Running, ServerSentEvent, running

ASKED = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=crowd]"}


async def ask(service: Running, asked: dict[str, Any], **headers: str) -> httpx.Response:
    return await service.http.post("/search", json=asked, headers=headers)


async def stream(service: Running, number: int) -> tuple[httpx.Response, list[ServerSentEvent]]:
    if number % 2:
        return await service.stream("GET", params=ASKED)
    return await service.stream(json=ASKED)


async def test_equal_requests_are_one_search() -> None:
    async with running() as service, asyncio.TaskGroup() as group:
        streams = [group.create_task(stream(service, number)) for number in range(50)]
        plain = [group.create_task(ask(service, ASKED)) for _ in range(50)]
        await quiet()
        assert await service.metric("imagesearch_runs_active") == 1
        await service.open_gate("crowd")
        answers = [await one for one in plain]
        streamed = [await one for one in streams]
        first_events = streamed[0][1]
        assert all(events == first_events for _, events in streamed)
        assert all(answer.json() == first_events[-1].result() for answer in answers)
        responses = [*answers, *(response for response, _ in streamed)]
        caches = sorted(response.headers["x-cache"] for response in responses)
        assert caches == ["coalesced"] * 99 + ["miss"]
        assert service.record.total == service.record.billed == 1


async def test_what_was_found_is_found_again_until_a_fresh_look_is_asked_for() -> None:
    fresh = {"Cache-Control": "no-cache"}
    steps: list[tuple[str, dict[str, str], float, str]] = [
        # the method, its headers, how long after the last one, and where the answer comes from
        ("POST", {}, 0, "miss"),
        ("POST", {}, 0, "hit"),
        ("POST", fresh, 0, "miss"),
        # SSE libraries add it to every GET.
        ("GET", fresh, 299, "hit"),
        ("GET", {}, 2, "miss"),
    ]
    async with running(cache_ttl_s=300) as service:
        body = {"image_url": IMAGE_URL}
        for method, headers, after_s, cache in steps:
            skip(after_s)
            await settle()
            asked: dict[str, Any] = {"params" if method == "GET" else "json": body}
            response, _ = await service.stream(method, headers=headers, **asked)
            assert response.headers["x-cache"] == cache, (method, after_s)
        assert (await ask(service, body | {"fresh": True})).headers["x-cache"] == "miss"


async def test_requests_that_differ_in_anything_are_different_searches() -> None:
    others: dict[str, Any] = {
        "image_url": [IMAGE_URL, IMAGE_URL],
        "prompt": "Another question",
        "model": "qwen3.5-flash",
        "instructions": "Be short.",
        "max_output_tokens": 500,
        "thinking": False,
    }
    async with running() as service:
        await ask(service, {"image_url": IMAGE_URL})
        for name, value in others.items():
            answer = await ask(service, {"image_url": IMAGE_URL, name: value})
            assert answer.headers["x-cache"] == "miss", name


async def test_an_idempotency_key_joins_equal_requests_and_refuses_others() -> None:
    def form(prompt: str = "What?") -> dict[str, Any]:
        """Each with a boundary of its own."""
        files = [("prompt", (None, prompt)), ("image", ("x.jpg", jpeg(PICTURE.name)))]
        headers = {"Idempotency-Key": "order-1", "Cache-Control": "no-cache"}
        return {"files": files, "headers": headers}

    async with running(cache_ttl_s=0) as service:
        first = await service.http.post("/search", **form())
        again = await service.http.post("/search", **form())
        streamed, events = await service.stream(**form())
        assert first.json() == again.json() == events[-1].result()
        assert again.headers["x-cache"] == streamed.headers["x-cache"] == "hit"
        other = await service.http.post("/search", **form("Something else?"))
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        assert service.record.total == 1
        skip(600)
        await settle()
        anew = await service.http.post("/search", **form("Something else?"))
        assert anew.headers["x-cache"] == "miss"


async def test_a_failed_or_cancelled_search_frees_its_idempotency_key() -> None:
    key = {"Idempotency-Key": "order-1"}
    async with running() as service:
        broken = {"image_url": IMAGE_URL, "prompt": "[sim no_terminal times=1 tag=once]"}
        failed = await ask(service, broken, **key)
        assert failed.json()["code"] == "upstream_interrupted"
        again = await ask(service, broken, **key)
        assert (again.status_code, again.headers["x-cache"]) == (200, "miss")
        key = {"Idempotency-Key": "order-2"}
        how = service.http.stream("POST", "/search/stream", json=STALLED, headers=key)
        async with how as response:
            await service.http.delete(f"/search/{response.headers['x-search-id']}")
        assert (await ask(service, {"image_url": IMAGE_URL}, **key)).status_code == 200
