"""How many searches run at once: who is let in, who waits, and that no place is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.clock import settle, skip
from tests.e2e.callers import ASKED
from tests.e2e.money import no_search_runs, spent
from tests.service import Running, read_events, running
from tests.waiting import eventually
from tests.wire import EVENT_STREAM

GUARD_S = 200


def asked(tag: str) -> dict[str, Any]:
    return ASKED | {"prompt": f"[sim gated tag={tag}]"}


@asynccontextmanager
async def full(**settings: Any) -> AsyncIterator[tuple[Running, asyncio.Task[httpx.Response]]]:
    async with asyncio.timeout(GUARD_S), running(capacity=1, **settings) as service:
        first = asyncio.create_task(begin(service, "first"))
        await service.record.until(lambda record: record.open == 1)
        yield service, first
        await service.open_gate("first")
        await asyncio.gather(first, return_exceptions=True)


async def begin(service: Running, tag: str) -> httpx.Response:
    return await service.http.post("/search", json=asked(tag), timeout=None)


def reading(service: Running, asked: dict[str, Any]) -> AbstractAsyncContextManager[httpx.Response]:
    return service.http.stream("GET", "/search/stream", params=asked, headers=EVENT_STREAM)


async def test_a_search_too_many_is_refused_and_the_next_one_has_room_again() -> None:
    async with full(capacity_wait_s=0) as (service, first):
        refused = await service.http.post("/search", json=ASKED)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.json()["retryable"] is True
        assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] >= 1
        await service.open_gate("first")
        assert (await first).json()["status"] == "completed"
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_who_waits_is_served_first_come_first_served() -> None:
    async with full(capacity_wait_s=60) as (service, first):
        waiting = []
        for number in range(3):
            waiting.append(asyncio.create_task(begin(service, f"n{number}")))
            await settle(200)
        assert service.record.total == 1
        for number, gate in enumerate(("first", "n0", "n1")):
            await service.open_gate(gate)
            while service.record.total < number + 2:
                await settle()
        await service.open_gate("n2")
        answers = [await first, *[await one for one in waiting]]
        assert {answer.json()["status"] for answer in answers} == {"completed"}
        prompts = [call.prompt for call in service.record.calls]
        assert prompts == [asked(tag)["prompt"] for tag in ("first", "n0", "n1", "n2")]


async def test_waiting_ends_when_its_time_is_over_and_costs_nothing() -> None:
    async with full(capacity_wait_s=20) as (service, _):
        waiting = asyncio.create_task(begin(service, "late"))
        await settle(300)
        skip(19)
        await settle(100)
        assert not waiting.done()
        skip(1.5)
        refused = await waiting
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert service.record.total == 1
        assert await spent(service) == 0


async def test_whoever_leaves_while_waiting_takes_nobodys_place_and_starts_no_search() -> None:
    async with full(capacity_wait_s=60) as (service, first):
        gone = asyncio.create_task(begin(service, "gone"))
        await settle(300)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await settle(300)
        await service.open_gate("first")
        await first
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
        await eventually(lambda: no_search_runs(service))
        assert "gone" not in "".join(call.prompt for call in service.record.calls)


@pytest.mark.parametrize("ending", ["http_401", "cut_after_results", "stopped", "left"])
async def test_a_place_is_given_back_however_a_search_ends(ending: str) -> None:
    async with running(capacity=1, capacity_wait_s=0, stream_linger_s=0) as service:
        for _ in range(3):
            scenario = ending if ending in {"http_401", "cut_after_results"} else "gated tag=never"
            question = ASKED | {"prompt": f"[sim {scenario}]"}
            async with reading(service, question) as response:
                assert response.status_code == 200
                events = read_events(response)
                assert (await anext(events)).event == "search.created"
                if ending == "stopped":
                    await service.http.delete(f"/search/{response.headers['x-search-id']}")
                if ending != "left":
                    assert [event async for event in events]
            await eventually(lambda: no_search_runs(service))
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
