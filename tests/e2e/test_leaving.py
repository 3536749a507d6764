"""Callers who leave, and callers who stop a search: what then becomes of it."""

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
    ([WAITS], "stall", False),
    ([KEYED], "stall", True),
    ([STREAM], "hang", True),
    ([STREAM], "stall", True),
    ([BY_GET], "stall_before_first", True),
    ([BY_GET], "stall", True),
    ([WAITS, WAITS], "stall", False),
    ([WAITS, STREAM], "stall", True),
    ([STREAM, WAITS], "stall", True),
    ([WAITS, KEYED], "stall", True),
]


@pytest.mark.parametrize(("callers", "scenario", "lingers"), HANGING_UP)
async def test_who_hangs_up_ends_the_search_only_if_nobody_could_come_back(
    callers: list[str], scenario: str, *, lingers: bool
) -> None:
    asked = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
    async with running(stream_linger_s=LINGER_S) as service, AsyncExitStack() as stack:
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


async def test_a_stream_that_is_left_before_its_status_frees_its_place() -> None:
    v1 = {"model": "qwen3.7-plus", "input": "[sim hang]", "stream": True}
    search = {"image_url": IMAGE_URL, "prompt": "[sim hang]"}
    limits: dict[str, Any] = {"stream_commit_s": 3_600, "stream_linger_s": 0, "capacity": 1}
    async with running(**limits) as service:
        for path, body in (("/search/stream", search), ("/v1/responses", v1)):
            async with begun(service, f"POST {path}", body) as wire:
                await leave(wire)
            await service.record.idle()
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_a_reader_who_comes_back_while_the_search_lingers_keeps_it_going() -> None:
    async with running(stream_linger_s=LINGER_S) as service:
        async with begun(service) as wire:
            search_id = await id_of(wire)
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
        search_id = await id_of(wire)
        path = f"/search/{search_id}"
        state = (await service.http.get(path)).json()
        assert (state["status"], state["outcome"]) == ("in_progress", "matched")
        assert state["results"]
        assert state["completed_at"] is None
        stopped = await service.http.delete(path)
        assert stopped.json()["status"] == "cancelled"
        assert stopped.json()["results"] == state["results"]
        assert stopped.headers["x-search-id"] == search_id
        frames = whole_frames(await wire.rest())
        assert events_of(frames)[-1] == b"search.cancelled"
        last = json.loads(frames.rpartition(b"\ndata: ")[2].partition(b"\n")[0])
        assert {**last, **stopped.json()} == last
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER
        assert (await service.http.delete(path)).json() == stopped.json()
        assert (await service.http.get(path)).json() == stopped.json()


async def test_deleting_a_search_that_others_asked_for_too_leaves_it_to_them() -> None:
    async with running() as service, begun(service) as first:
        path = f"/search/{await id_of(first)}"
        async with begun(service) as second, dial(service.url) as again:
            for _ in range(2):
                assert (await service.http.delete(path)).json()["status"] == "in_progress"
            await leave(first)
            # Coming back gives nobody the right to end what others asked for.
            again.send(request("GET", f"{path}/stream"))
            await again.head()
            assert (await service.http.delete(path)).json()["status"] == "in_progress"
            await leave(again)
            assert (await service.http.delete(path)).json()["status"] == "cancelled"
            await second.head()
            assert events_of(whole_frames(await second.rest()))[-1] == b"search.cancelled"


async def test_who_waits_for_a_search_that_is_cancelled_gets_it_as_cancelled() -> None:
    async with running() as service:
        waiting = asyncio.create_task(service.http.post("/search", json=STALLED, timeout=None))
        await quiet()
        async with begun(service) as wire:
            search_id = await id_of(wire)
            await leave(wire)
        # The stream has left, so this ends the search for the other.
        await service.http.delete(f"/search/{search_id}")
        answer = await waiting
        assert answer.status_code == 200
        assert answer.json()["status"] == "cancelled"
        assert answer.json()["results"]
        assert answer.json()["error"] is None


async def test_a_caller_who_leaves_after_a_large_upload_is_noticed() -> None:
    """A server pauses reading over a large body, and would not see the connection end."""
    sent = request("POST", "/search", body=STALLED)
    head, _, body = sent.partition(b"\r\n\r\n")
    large = body + b" " * 200_000
    head = head.replace(b"Length: %d" % len(body), b"Length: %d" % len(large))
    async with running() as service, dial(service.url) as wire:
        await wire.send_all(head + b"\r\n\r\n" + large)
        await service.record.until(lambda record: record.open == 1)
        wire.reset()
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER
