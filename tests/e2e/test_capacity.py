"""How many searches run at once: who is let in, who waits, and that no place is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.clock import settle, skip
from tests.e2e.callers import ASKED
from tests.e2e.money import no_search_runs, spent
from tests.service import Running, read_events, running
from tests.waiting import eventually
from tests.wire import EVENT_STREAM

Asking = asyncio.Task[httpx.Response]


@asynccontextmanager
async def full(**settings: Any) -> AsyncIterator[tuple[Running, Asking]]:
    """A service whose one place is taken, until the gate `first` is opened."""
    async with running(capacity=1, **settings) as service:
        first = begin(service, "first")
        await service.record.until(lambda record: record.open == 1)
        yield service, first
        await service.open_gate("first")
        await asyncio.gather(first, return_exceptions=True)


def begin(service: Running, tag: str) -> Asking:
    asked = ASKED | {"prompt": f"[sim gated tag={tag}]"}
    return asyncio.create_task(service.http.post("/search", json=asked, timeout=None))


def check_refusal(refused: httpx.Response) -> None:
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.json()["retryable"] is True
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] >= 1


async def test_a_search_too_many_is_refused_and_the_next_one_has_room_again() -> None:
    async with full(capacity_wait_s=0) as (service, first):
        check_refusal(await service.http.post("/search", json=ASKED))
        await service.open_gate("first")
        assert (await first).json()["status"] == "completed"
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_who_waits_is_served_first_come_first_served_and_who_left_is_not() -> None:
    async with full(capacity_wait_s=60) as (service, first):
        waiting = []
        for tag in ("n0", "gone", "n1", "n2"):
            waiting.append(begin(service, tag))
            await settle(200)
        gone = waiting.pop(1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await settle(200)
        assert service.record.total == 1
        for number, gate in enumerate(("first", "n0", "n1")):
            await service.open_gate(gate)
            while service.record.total < number + 2:
                await settle()
        await service.open_gate("n2")
        answers = [await one for one in (first, *waiting)]
        assert {answer.json()["status"] for answer in answers} == {"completed"}
        tags = [call.prompt.rpartition("tag=")[2] for call in service.record.calls]
        assert tags == ["first]", "n0]", "n1]", "n2]"]
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_waiting_ends_when_its_time_is_over_and_costs_nothing() -> None:
    async with full(capacity_wait_s=20) as (service, _):
        waiting = begin(service, "late")
        await settle(300)
        skip(19)
        await settle(100)
        assert not waiting.done()
        skip(1.5)
        check_refusal(await waiting)
        assert service.record.total == 1
        assert await spent(service) == 0


@pytest.mark.parametrize("ending", ["http_401", "cut_after_results", "stopped", "left"])
async def test_a_place_is_given_back_however_a_search_ends(ending: str) -> None:
    async with running(capacity=1, capacity_wait_s=0, stream_linger_s=0) as service:
        for _ in range(3):
            scenario = "gated tag=never" if ending in {"stopped", "left"} else ending
            asked = ASKED | {"prompt": f"[sim {scenario}]"}
            how = service.http.stream("GET", "/search/stream", params=asked, headers=EVENT_STREAM)
            async with how as response:
                assert response.status_code == 200
                events = read_events(response)
                assert (await anext(events)).event == "search.created"
                if ending == "stopped":
                    await service.http.delete(f"/search/{response.headers['x-search-id']}")
                if ending != "left":
                    assert [event async for event in events]
            await eventually(lambda: no_search_runs(service))
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
