"""Callers of one search: who joins, who leaves, who stops it, and who lets it go on alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from simulator.gallery import jpeg
from tests.clock import quiet, settle, skip
from tests.e2e.asking import ASKED, IMAGE_URL, PICTURE, STALLED
from tests.service import Running, ServerSentEvent, running
from tests.wire import Wire, dial, events_of, request, whole_frames

CROWD = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=crowd]"}


async def ask(service: Running, asked: dict[str, Any]) -> httpx.Response:
    return await service.http.post("/search", json=asked)


async def stream(service: Running, number: int) -> tuple[httpx.Response, list[ServerSentEvent]]:
    if number % 2:
        return await service.stream("GET", params=CROWD)
    return await service.stream(json=CROWD)


async def test_equal_requests_are_one_search() -> None:
    async with running() as service, asyncio.TaskGroup() as group:
        streams = [group.create_task(stream(service, number)) for number in range(50)]
        plain = [group.create_task(ask(service, CROWD)) for _ in range(50)]
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
    others: dict[str, Any] = {"image_url": [IMAGE_URL] * 2, "prompt": "?", "model": "qwen3.5-flash"}
    others |= {"instructions": "Be short.", "max_output_tokens": 500, "thinking": False}
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
    headers = {"Idempotency-Key": "order-1"}
    async with running() as service:
        broken = {"image_url": IMAGE_URL, "prompt": "[sim no_terminal times=1 tag=once]"}
        failed = await service.http.post("/search", json=broken, headers=headers)
        assert failed.json()["code"] == "upstream_interrupted"
        again = await service.http.post("/search", json=broken, headers=headers)
        assert (again.status_code, again.headers["x-cache"]) == (200, "miss")
        headers = {"Idempotency-Key": "order-2"}
        how = service.http.stream("POST", "/search/stream", json=STALLED, headers=headers)
        async with how as response:
            await service.http.delete(f"/search/{response.headers['x-search-id']}")
        other = await service.http.post("/search", json={"image_url": IMAGE_URL}, headers=headers)
        assert other.status_code == 200


LINGER_S = 30
COMMIT_S = 2.1
"""A little more than `STREAM_COMMIT_S`: by then a stream has begun."""
OBSERVER = "client_gone"
"""How the stand-in records a call that was closed on it."""


@asynccontextmanager
async def begun(
    service: Running, way: str = "POST /search/stream", asked: dict[str, Any] = STALLED
) -> AsyncIterator[Wire]:
    """A request under way; one whose way ends in `+ key` has an idempotency key."""
    method, path, *key = way.split(" ", 2)
    headers = {"Idempotency-Key": "order-1"} if key else {}
    sent: dict[str, Any] = {"query" if method == "GET" else "body": asked}
    async with dial(service.url) as wire:
        wire.send(request(method, path, headers=headers, **sent))
        await service.record.until(lambda record: record.open == 1)
        await quiet()
        yield wire


async def leave(wire: Wire) -> None:
    wire.reset()
    await quiet()


WAITS, STREAM, BY_GET = "POST /search", "POST /search/stream", "GET /search/stream"
KEYED = f"{WAITS} + key"
HANGING_UP: list[tuple[list[str], str, bool]] = [
    # who hangs up in turn, on what; whether the search then goes on for a while
    ([WAITS], "hang", False),
    ([KEYED], "stall", True),
    ([STREAM], "stall", True),
    ([BY_GET], "stall", True),
    ([WAITS, STREAM], "stall", True),
    ([STREAM, WAITS], "stall", True),
    ([WAITS, KEYED], "stall", True),
]


@pytest.mark.parametrize(("callers", "scenario", "lingers"), HANGING_UP)
async def test_who_hangs_up_ends_the_search_only_if_nobody_could_come_back(
    callers: list[str], scenario: str, *, lingers: bool
) -> None:
    asked = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
    limits: dict[str, Any] = {"stream_linger_s": LINGER_S, "capacity": 1, "capacity_wait_s": 0}
    async with running(**limits) as service, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(begun(service, way, asked)) for way in callers]
        skip(COMMIT_S)
        await quiet()
        for wire in wires[:-1]:
            await leave(wire)
            assert service.record.open == 1
        await leave(wires[-1])
        if lingers:
            skip(LINGER_S - 1)
            await quiet()
            assert service.record.open == 1
            skip(1)
        # Well before the linger's end where nobody could come back.
        async with asyncio.timeout(LINGER_S / 2):
            await service.record.idle()
        assert service.record.total == 1
        assert service.record.calls[0].finished == OBSERVER
        await service.until_metric("imagesearch_searches_total", 1, status="cancelled")
        assert await service.metric("imagesearch_runs_active") == 0
        # The one place is free again.
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_a_reader_who_comes_back_while_the_search_lingers_keeps_it_going() -> None:
    async with running(stream_linger_s=LINGER_S) as service:
        async with begun(service) as wire:
            search_id = (await wire.head()).headers["x-search-id"]
            await leave(wire)
        skip(LINGER_S - 1)
        async with dial(service.url) as wire:
            wire.send(request("GET", f"/search/{search_id}/stream"))
            await wire.head()
            skip(2 * LINGER_S)
            await quiet()
            assert service.record.open == 1
            await service.http.delete(f"/search/{search_id}")
            assert events_of(whole_frames(await wire.rest()))[-1] == b"search.cancelled"


async def test_deleting_stops_ones_own_search_and_answers_with_what_it_had_found() -> None:
    async with running() as service, begun(service) as wire:
        path = f"/search/{(await wire.head()).headers['x-search-id']}"
        state = (await service.http.get(path)).json()
        assert (state["status"], state["outcome"]) == ("in_progress", "matched")
        assert state["results"]
        stopped = await service.http.delete(path)
        assert stopped.json()["status"] == "cancelled"
        assert stopped.json()["results"] == state["results"]
        frames = whole_frames(await wire.rest())
        assert events_of(frames)[-1] == b"search.cancelled"
        last = json.loads(frames.rpartition(b"\ndata: ")[2].partition(b"\n")[0])
        assert {**last, **stopped.json()} == last
        assert (await service.last_call()).finished == OBSERVER
        assert (await service.http.delete(path)).json() == stopped.json()
        assert (await service.http.get(path)).json() == stopped.json()


async def test_deleting_leaves_a_search_to_others_and_who_waits_may_get_it_as_cancelled() -> None:
    async with running() as service:
        waiting = asyncio.create_task(service.http.post("/search", json=STALLED, timeout=None))
        await quiet()
        async with begun(service) as wire:
            path = f"/search/{(await wire.head()).headers['x-search-id']}"
            for _ in range(2):
                assert (await service.http.delete(path)).json()["status"] == "in_progress"
            await leave(wire)
        assert (await service.http.delete(path)).json()["status"] == "cancelled"
        answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["results"]
        assert answer.json()["error"] is None


async def test_a_caller_who_leaves_after_a_large_upload_is_noticed() -> None:
    """A server pauses reading over a large body, and would not see the connection end."""
    body = json.dumps(STALLED).encode().ljust(200_000)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    async with running() as service, dial(service.url) as wire:
        await wire.send_all(request("POST", "/search", headers=headers) + body)
        await service.record.until(lambda record: record.open == 1)
        wire.reset()
        assert (await service.last_call()).finished == OBSERVER


GATED = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=go]"}
IN_BACKGROUND = GATED | {"background": True}


@pytest.mark.parametrize(
    ("body", "headers"), [(IN_BACKGROUND, {}), (GATED, {"Prefer": "wait=0, respond-async"})]
)
async def test_a_search_in_the_background_is_answered_at_once_and_found_finished(
    body: dict[str, object], headers: dict[str, str]
) -> None:
    async with running() as service:
        accepted = await service.http.post("/search", json=body, headers=headers)
        assert (accepted.status_code, accepted.json()["status"]) == (202, "in_progress")
        assert ("preference-applied" in accepted.headers) is bool(headers)
        place = accepted.headers["location"]
        assert place == f"/search/{accepted.json()['id']}"
        skip(40)
        await quiet()
        await service.open_gate("go")
        await service.record.idle()
        assert (await service.http.get(place)).json()["status"] == "completed"
        assert [call.finished for call in service.record.calls] == ["completed"]


async def test_who_prefers_to_wait_gets_the_result_if_it_comes_in_time() -> None:
    async with running() as service:
        prefers = {"Prefer": "respond-async, wait=30"}
        ended = await service.http.post("/search", json={"image_url": IMAGE_URL}, headers=prefers)
        assert (ended.status_code, ended.json()["status"]) == (200, "completed")
        assert ended.headers["preference-applied"] == "respond-async, wait=30"


async def test_a_background_stream_outlives_its_reader_and_counts_when_it_is_stopped() -> None:
    async with running(stream_linger_s=5) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=IN_BACKGROUND))
            search_id = (await wire.head()).headers["x-search-id"]
            wire.reset()
        skip(6)
        await quiet()
        assert service.record.open == 1
        joined = asyncio.create_task(service.http.post("/search", json=GATED))
        await service.until_metric("imagesearch_cache_total", 1, result="coalesced")
        for status in ("in_progress", "cancelled"):
            stopped = await service.http.delete(f"/search/{search_id}")
            assert stopped.json()["status"] == status
        assert (await joined).json()["status"] == "cancelled"
        await service.record.idle()
