"""How many searches run at once: who is let in, who waits, and that no place is lost."""

import asyncio
from decimal import Decimal

import httpx
import pytest

from tests.clock import settle, skip
from tests.e2e.callers import ASKED
from tests.e2e.money import no_search_runs, spent
from tests.service import Running, read_events, running
from tests.waiting import eventually
from tests.wire import EVENT_STREAM

Asking = asyncio.Task[httpx.Response]


async def begin(service: Running, tag: str) -> Asking:
    asked = ASKED | {"prompt": f"[sim gated tag={tag}]"}
    asking = asyncio.create_task(service.http.post("/search", json=asked, timeout=None))
    await settle(300)
    return asking


async def test_who_waits_is_served_first_come_first_served_and_who_left_is_not() -> None:
    async with running(capacity=1, capacity_wait_s=60) as service:
        first, n0, gone, n1, n2 = [
            await begin(service, tag) for tag in ("first", "n0", "gone", "n1", "n2")
        ]
        gone.cancel()
        await settle(200)
        assert service.record.total == 1
        for number, gate in enumerate(("first", "n0", "n1")):
            await service.open_gate(gate)
            while service.record.total < number + 2:
                await settle()
        await service.open_gate("n2")
        answers = [await one for one in (first, n0, n1, n2)]
        assert {answer.json()["status"] for answer in answers} == {"completed"}
        tags = [call.prompt.rpartition("tag=")[2] for call in service.record.calls]
        assert tags == ["first]", "n0]", "n1]", "n2]"]
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_waiting_ends_when_its_time_is_over_and_costs_nothing() -> None:
    async with running(capacity=1, capacity_wait_s=20) as service:
        first, late = await begin(service, "first"), await begin(service, "late")
        skip(19)
        await settle(100)
        assert not late.done()
        skip(1.5)
        refused = await late
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.json()["retryable"] is True
        assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] >= 1
        assert (service.record.total, await spent(service)) == (1, Decimal(0))
        await service.open_gate("first")
        assert (await first).json()["status"] == "completed"


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
