"""Callers who leave, and callers who stop a search: what then becomes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.clock import quiet, skip
from tests.e2e.asking import ASKED, IMAGE_URL, STALLED, STREAMS, WAYS, Way
from tests.service import Running, running
from tests.wire import Wire, dial, events_of, request, whole_frames

KEY = {"Idempotency-Key": "order-1"}
LINGER_S = 30
COMMIT_S = 2.1
"""A little more than `STREAM_COMMIT_S`: by then a stream has begun."""
OBSERVER = "client_gone"
"""How the stand-in records a call that was closed on it."""


@asynccontextmanager
async def begun(
    service: Running,
    path: str,
    *,
    body: dict[str, Any] = STALLED,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Wire]:
    async with dial(service.url) as wire:
        wire.send(request("POST", path, body=body, headers=headers))
        await service.record.until(lambda record: record.open == 1)
        await quiet()
        yield wire


async def leave(wire: Wire) -> None:
    wire.reset()
    await quiet()


async def id_of(wire: Wire) -> str:
    return (await wire.head()).headers["x-search-id"]


# The requests that hang up, in turn; whether the search then goes on for a while.
HANGING_UP: dict[str, tuple[list[tuple[str, dict[str, str]]], bool]] = {
    "one that waits, with a key to come back with": ([("/search", KEY)], True),
    "two that wait": ([("/search", {}), ("/search", {})], False),
    "one that waits, then a stream": ([("/search", {}), ("/search/stream", {})], True),
    "a stream, then one that waits": ([("/search/stream", {}), ("/search", {})], True),
    "one that waits, then one with a key": ([("/search", {}), ("/search", KEY)], True),
}


@pytest.mark.parametrize("case", HANGING_UP)
async def test_who_hangs_up_ends_the_search_only_if_nobody_could_come_back(case: str) -> None:
    callers, lingers = HANGING_UP[case]
    async with running(stream_linger_s=LINGER_S) as service, AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(begun(service, path, headers=headers))
            for path, headers in callers
        ]
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


@pytest.mark.parametrize("scenario", ["hang", "stall_before_first", "stall"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_who_leaves_closes_the_upstream_call(way: Way, scenario: str) -> None:
    """At once, or behind a stream after the time in which its reader may come back."""
    method, path = way.split(" ")
    body = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
    asked: dict[str, Any] = {"query": body} if method == "GET" else {"body": body}
    async with running(stream_linger_s=LINGER_S) as service, dial(service.url) as wire:
        wire.send(request(method, path, **asked))
        await service.record.until(lambda record: record.open == 1)
        await quiet()
        if way in STREAMS:
            skip(COMMIT_S)
            await wire.head()
        await leave(wire)
        if way in STREAMS:
            skip(LINGER_S - 1)
            await quiet()
            assert service.record.open == 1
            skip(1)
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER


@pytest.mark.parametrize("path", ["/search/stream", "/v1/responses"])
async def test_a_stream_that_is_left_before_its_status_frees_its_place(path: str) -> None:
    v1 = {"model": "qwen3.7-plus", "input": "[sim hang]", "stream": True}
    body = v1 if path.startswith("/v1") else {"image_url": IMAGE_URL, "prompt": "[sim hang]"}
    limits = {"stream_commit_s": 3_600, "stream_linger_s": 0, "capacity": 1}
    async with running(**limits) as service:  # type: ignore[arg-type] # no knobs among them
        async with begun(service, path, body=body) as wire:
            assert service.record.open == 1
            await leave(wire)
        await service.record.idle()
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_a_reader_who_comes_back_while_the_search_lingers_keeps_it_going() -> None:
    async with running(stream_linger_s=LINGER_S) as service:
        async with begun(service, "/search/stream") as wire:
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
    async with running() as service, begun(service, "/search/stream") as wire:
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
    async with running() as service, begun(service, "/search/stream") as first:
        path = f"/search/{await id_of(first)}"
        async with begun(service, "/search/stream") as second, dial(service.url) as again:
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
        async with begun(service, "/search/stream") as wire:
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
    body = json.dumps(STALLED).encode() + b" " * 200_000
    lines = ["POST /search HTTP/1.1", "Host: x", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    async with running() as service, dial(service.url) as wire:
        await wire.send_all(head.encode() + body)
        await service.record.until(lambda record: record.open == 1)
        wire.reset()
        await service.record.idle()
        assert service.record.calls[-1].finished == OBSERVER
