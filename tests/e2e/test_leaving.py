"""Callers who leave, and callers who stop a search: what then becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from app.protocol import AbortableProtocol
from app.runs import Run
from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, events_of, request, whole_frames

URL = GALLERY_URL + PICTURES[7].name
STALLED: dict[str, Any] = {"image_url": URL, "prompt": "[sim stall after=14]"}
KEY = {"Idempotency-Key": "order-1"}
LINGER_S = 30


@asynccontextmanager
async def begun(
    service: Running,
    path: str,
    *,
    asked: dict[str, Any] = STALLED,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Wire]:
    """A request whose search has found something, and goes on without end."""
    async with dial(service.url) as wire:
        readers = sum(run._readers for run in runs(service))
        wire.send(request("POST", path, body=asked, headers=headers))
        await until(lambda: sum(run._readers for run in runs(service)) > readers)
        await until(lambda: bool(runs(service)[0].result.answer.results))
        yield wire


def runs(service: Running) -> list[Run]:
    return list(service.service.runs._runs.values())


async def gone(service: Running, *wires: Wire) -> None:
    """Let callers leave, and the service notice."""
    readers = runs(service)[0]._readers
    for wire in wires:
        wire.reset()
    await until(lambda: runs(service)[0]._readers == readers - len(wires))
    await settle()


# Who reads: the requests that hang up, in turn; whether the search then goes on for a while.
HANGING_UP: dict[str, tuple[list[tuple[str, dict[str, str]]], bool]] = {
    "one that waits": ([("/search", {})], False),
    "one that waits, with a key to come back with": ([("/search", KEY)], True),
    "two that wait": ([("/search", {}), ("/search", {})], False),
    "a stream": ([("/search/stream", {})], True),
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
        run = runs(service)[0]
        for wire in wires[:-1]:
            await gone(service, wire)
            assert not run.ended
        await gone(service, wires[-1])
        if lingers:
            skip(LINGER_S - 1)
            await settle()
            assert not run.ended
            skip(1)
        await service.record.idle()
        await run.finished()
        assert run.cancelled
        assert service.record.total == 1
        assert service.record.calls[0].finished == "client_gone"


async def test_a_stream_that_is_left_before_its_status_is_let_go_of_at_once() -> None:
    hanging = {"image_url": URL, "prompt": "[sim hang]"}
    async with (
        running(stream_commit_s=3_600, stream_linger_s=0) as service,
        dial(service.url) as wire,
    ):
        wire.send(request("POST", "/search/stream", body=hanging))
        await service.record.until(lambda record: record.open == 1)
        wire.reset()
        await service.record.idle()
        assert service.service.guards.capacity.taken == 0


async def test_a_reader_who_comes_back_while_the_search_lingers_keeps_it_going() -> None:
    async with running(stream_linger_s=LINGER_S) as service:
        async with begun(service, "/search/stream") as wire:
            run = runs(service)[0]
            await gone(service, wire)
        skip(LINGER_S - 1)
        async with dial(service.url) as wire:
            wire.send(request("GET", f"/search/{run.id}/stream"))
            await wire.head()
            skip(2 * LINGER_S)
            await settle()
            assert not run.ended
            await service.http.delete(f"/search/{run.id}")
            assert events_of(whole_frames(await wire.rest()))[-1] == b"search.cancelled"


async def test_deleting_stops_a_search_of_ones_own_and_tells_what_it_had_found() -> None:
    async with running() as service, begun(service, "/search/stream") as wire:
        search_id = (await wire.head()).headers["x-search-id"]
        path = f"/search/{search_id}"
        state = (await service.http.get(path)).json()
        assert (state["status"], state["outcome"]) == ("in_progress", "matched")
        assert state["results"]
        assert state["completed_at"] is None
        stopped = await service.http.delete(path)
        assert stopped.json()["status"] == "cancelled"
        assert stopped.json()["results"] == state["results"]
        assert stopped.headers["x-search-id"] == search_id
        stream = await wire.rest()
        assert events_of(whole_frames(stream))[-1] == b"search.cancelled"
        await service.record.idle()
        assert (await service.http.delete(path)).json() == stopped.json()
        assert (await service.http.get(path)).json() == stopped.json()


async def test_deleting_a_search_that_others_read_leaves_it_to_them() -> None:
    async with (
        running() as service,
        begun(service, "/search/stream") as first,
        begun(service, "/search/stream") as second,
    ):
        path = f"/search/{runs(service)[0].id}"
        assert (await service.http.delete(path)).json()["status"] == "in_progress"
        assert (await service.http.delete(path)).json()["status"] == "in_progress"
        assert service.record.open == 1
        await gone(service, first)
        assert (await service.http.delete(path)).json()["status"] == "cancelled"
        await second.head()
        assert events_of(whole_frames(await second.rest()))[-1] == b"search.cancelled"


async def test_deleting_ends_a_search_whose_only_caller_came_back_over_a_dead_connection() -> None:
    """As a phone does that changes networks: nobody tells the service that the first is gone."""
    async with running() as service, begun(service, "/search/stream") as first:
        run = runs(service)[0]
        await first.head()
        async with dial(service.url) as second:
            seen = {"Last-Event-ID": f"{run.id}:1"}
            second.send(request("GET", "/search/stream", headers=seen))
            await second.head()
            assert run._readers == 2
            stopped = await service.http.delete(f"/search/{run.id}")
            assert stopped.json()["status"] == "cancelled"
            assert events_of(whole_frames(await second.rest()))[-1] == b"search.cancelled"
        await service.record.idle()


async def test_coming_back_gives_nobody_the_right_to_end_what_others_asked_for_too() -> None:
    async with running() as service, begun(service, "/search/stream") as first:
        run = runs(service)[0]
        async with begun(service, "/search/stream"), dial(service.url) as again:
            await gone(service, first)
            again.send(request("GET", f"/search/{run.id}/stream"))
            await again.head()
            for _ in range(2):
                told = await service.http.delete(f"/search/{run.id}")
                assert told.json()["status"] == "in_progress"
        assert service.record.open == 1


async def test_deleting_a_finished_search_answers_with_how_it_ended() -> None:
    async with running() as service:
        result = (await service.http.post("/search", json={"image_url": URL})).json()
        again = await service.http.delete(f"/search/{result['id']}")
        assert again.json() == result
        _, events = await service.stream("GET", f"/search/{result['id']}/stream")
        assert events[-1].event == "search.completed"


async def test_who_waits_for_a_search_that_is_cancelled_is_told_so() -> None:
    async with running() as service:
        waiting = asyncio.create_task(service.http.post("/search", json=STALLED))
        await until(lambda: bool(runs(service) and runs(service)[0].result.answer.results))
        await service.http.delete(f"/search/{runs(service)[0].id}")
        answer = await waiting
        assert answer.status_code == 200
        assert answer.json()["status"] == "cancelled"
        assert answer.json()["results"]
        assert answer.json()["error"] is None


@pytest.mark.parametrize("how", ["left", "deleted", "left for good", "failed"])
async def test_what_was_spent_is_recorded_however_a_search_ends(how: str) -> None:
    asked = STALLED
    if how == "failed":
        asked = {"image_url": URL, "prompt": "[sim cut_after_results]"}
    async with running(stream_linger_s=LINGER_S) as service:
        path = "/search" if how == "left" else "/search/stream"
        async with begun(service, path, asked=asked) as wire:
            run = runs(service)[0]
            if how == "deleted":
                await service.http.delete(f"/search/{run.id}")
            elif how != "failed":
                await gone(service, wire)
                skip(LINGER_S if how == "left for good" else 0)
            await run.finished()
        cost = run.result.cost
        assert cost
        assert cost.tools > 0
        assert cost.tokens > 0
        metrics = (await service.http.get("/metrics")).text
        assert f"imagesearch_spend_cny_total {float(cost.total)}" in metrics
        status = "failed" if how == "failed" else "cancelled"
        ended = f'imagesearch_searches_total{{outcome="matched",status="{status}"}} 1.0'
        assert ended in metrics


async def test_a_caller_who_leaves_after_a_large_upload_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server pauses reading over more than 64 KiB of a body, be they the last or not."""
    complete = AbortableProtocol.on_message_complete

    def pause_and_complete(protocol: AbortableProtocol) -> None:
        protocol.flow.pause_reading()
        complete(protocol)

    monkeypatch.setattr(AbortableProtocol, "on_message_complete", pause_and_complete)
    async with running() as service, dial(service.url) as wire:
        asked = request("POST", "/search", body=STALLED)
        wire.send(asked[:-1])
        await until(lambda: service.service.intake.memory.used_bytes > 0)
        wire.send(asked[-1:])
        await until(lambda: bool(runs(service)))
        run = runs(service)[0]
        await until(lambda: bool(run.result.answer.results))
        wire.reset()
        await until(lambda: run.ended)
        assert run.cancelled
