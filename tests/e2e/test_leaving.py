"""Callers who leave, who stop a search, or who let it go on without them (`background`)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.clock import quiet, skip
from tests.e2e.asking import ASKED, IMAGE_URL, STALLED
from tests.service import Running, running
from tests.wire import Wire, dial, events_of, request, whole_frames

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


async def id_of(wire: Wire) -> str:
    return (await wire.head()).headers["x-search-id"]


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


async def test_deleting_stops_ones_own_search_and_answers_with_what_it_had_found() -> None:
    async with running() as service, begun(service) as wire:
        search_id = await id_of(wire)
        path = f"/search/{search_id}"
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
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER
        assert (await service.http.delete(path)).json() == stopped.json()
        assert (await service.http.get(path)).json() == stopped.json()


async def test_deleting_leaves_a_search_to_others_and_who_waits_may_get_it_as_cancelled() -> None:
    async with running() as service:
        waiting = asyncio.create_task(service.http.post("/search", json=STALLED, timeout=None))
        await quiet()
        async with begun(service) as wire:
            path = f"/search/{await id_of(wire)}"
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
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER


# --- In the background ---

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


async def test_a_background_stream_goes_on_when_its_reader_leaves_and_can_be_stopped() -> None:
    async with running(stream_linger_s=5) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=IN_BACKGROUND))
            search_id = (await wire.head()).headers["x-search-id"]
            wire.reset()
        skip(6)
        await quiet()
        assert service.record.open == 1
        stopped = await service.http.delete(f"/search/{search_id}")
        assert stopped.json()["status"] == "cancelled"
        await service.record.idle()
