"""What is charged for a search, whichever way it goes: by the upstream's record, or by the rule."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.clock import settle, skip, until
from tests.e2e.asking import Pauses, quiet
from tests.e2e.callers import ASKED
from tests.e2e.money import FEE, RESERVED, RESERVED_TOKENS, metric, price
from tests.service import Running, running

GUARD_S = 30
FREE = Decimal(0)
AS_BILLED = None
"""In the tables: what the stand-in's record comes to."""


def asked(scenario: str) -> dict[str, Any]:
    return ASKED | {"prompt": f"[sim {scenario}]"}


async def books_hold(service: Running, charged: Decimal | None) -> None:
    """All places where spending is kept say the same, and nothing stays set aside."""
    guards = service.service.guards
    await until(lambda: not service.service.runs.active)
    owed = price(service.record.calls) if charged is AS_BILLED else charged
    assert guards.spend.total == guards.budget.spent == owed
    assert guards.budget.reserved == guards.capacity.taken == 0
    assert await metric(service, "imagesearch_spend_cny_total") == owed


PLAIN: dict[str, tuple[str, Decimal | None]] = {
    # the scenario, and the charge
    "completed": ("normal", AS_BILLED),
    "completed without a match": ("no_results", AS_BILLED),
    "incomplete": ("incomplete", AS_BILLED),
    "no tool call": ("no_tool_call", AS_BILLED),
    "two tool calls": ("two_calls", AS_BILLED),
    "no count of tool calls": ("usage_without_x_tools", AS_BILLED),
    "no count of two tool calls": ("two_calls usage_without_x_tools", AS_BILLED),
    "no usage": ("usage_missing", RESERVED),
    "no usage, two tool calls": ("two_calls usage_missing", 2 * FEE + RESERVED_TOKENS),
    "no usage, no tool call": ("no_tool_call usage_missing", RESERVED),
    "our key refused": ("http_401", FREE),
    "the request refused": ("http_400", FREE),
    "busy": ("http_429", FREE),
    "refused as the first event": ("throttled_200", FREE),
    "out of order, with the work done or not": ("http_500", RESERVED),
    "out of order, with the work done": ("fails_after_billing", RESERVED),
    "out of order as the first event": ("backend_overflow", RESERVED),
    "reset before any answer": ("reset_before_headers", RESERVED),
    "inspection refused": ("data_inspection", FREE),
    "failed after results": ("failed_mid_stream", RESERVED),
    "an error after some events": ("error_frame_mid_stream", RESERVED),
    "cut before any event": ("empty_200", RESERVED),
    "reset before any event": ("reset_after_headers", RESERVED),
    "cut after results": ("cut_after_results", RESERVED),
    "cut after the first of two calls": ("two_calls cut_after_results", RESERVED),
    "cut after two calls": ("two_calls no_terminal", 2 * FEE + RESERVED_TOKENS),
    "reset after some events": ("reset_mid_stream", RESERVED),
    "no event stream": ("html_200", RESERVED),
    "nonsense": ("garbage", RESERVED),
}


@pytest.mark.parametrize("way", ["waiting", "streaming"])
@pytest.mark.parametrize("ending", PLAIN)
async def test_a_search_is_charged_by_how_it_ended(ending: str, way: str) -> None:
    scenario, charged = PLAIN[ending]
    async with asyncio.timeout(GUARD_S), running(upstream_retries=0) as service:
        if way == "waiting":
            response = await service.http.post("/search", json=asked(scenario))
            told = response.json()
            result = told.get("result") if response.is_error else told
        else:
            _, events = await service.stream("GET", params=asked(scenario))
            told = events[-1].json()
            result = told["result"] if events[-1].event == "search.failed" else told
        await service.record.idle()
        await books_hold(service, charged)
        if result:
            assert Decimal(str(result["cost"]["total"])) == service.service.guards.spend.total
        assert service.record.total == 1


async def joined(service: Running) -> None:
    """Two ask the same at once."""
    assert service.simulator is not None
    both = [
        asyncio.create_task(service.http.post("/search", json=asked("gated tag=j")))
        for _ in range(2)
    ]
    await until(lambda: any(run.shared for run in service.service.runs._runs.values()))
    await service.simulator.state.gate.open("j")
    answers = [await one for one in both]
    assert sorted(one.headers["x-cache"] for one in answers) == ["coalesced", "miss"]
    assert len({one.text for one in answers}) == 1


async def cached(service: Running) -> None:
    answers = [await service.http.post("/search", json=asked("normal")) for _ in range(3)]
    assert [one.headers["x-cache"] for one in answers] == ["miss", "hit", "hit"]
    again = {"Cache-Control": "no-cache"}
    fresh = await service.http.post("/search", json=asked("normal"), headers=again)
    assert fresh.headers["x-cache"] == "miss"
    assert service.record.total == 2


async def resumed(service: Running) -> None:
    response, events = await service.stream(json=asked("normal"))
    search_id = response.headers["x-search-id"]
    for place in (0, 1, len(events) - 1):
        headers = {"Last-Event-ID": f"{search_id}:{place}"}
        _, rest = await service.stream(json=asked("normal"), headers=headers)
        assert rest == events[place:]


async def retried(service: Running) -> None:
    with Pauses() as pauses:
        response = await service.http.post("/search", json=asked("http_429 times=2 tag=r"))
    assert response.json()["status"] == "completed"
    assert (len(pauses.lengths_s), service.record.total, service.record.billed) == (2, 3, 1)


async def retried_in_vain(service: Running) -> None:
    with Pauses():
        response = await service.http.post("/search", json=asked("http_429"))
    assert response.status_code == 503
    assert service.record.total == 3


async def stopped(service: Running, scenario: str) -> httpx.Response:
    """Begin, wait until all has come that will, and DELETE."""
    waiting = asyncio.create_task(service.http.post("/search", json=asked(scenario)))
    await service.record.until(lambda record: record.open == 1)
    await quiet(service)
    [search_id] = service.service.runs._runs
    response = await service.http.delete(f"/search/{search_id}")
    assert (await waiting).json() == response.json()
    assert response.json()["status"] == "cancelled"
    return response


async def cancelled(service: Running) -> None:
    response = await stopped(service, "gated tag=never")
    assert Decimal(str(response.json()["cost"]["total"])) == RESERVED


async def cancelled_at_once(service: Running) -> None:
    await stopped(service, "hang")


async def cancelled_after_two_calls(service: Running) -> None:
    response = await stopped(service, "two_calls stall after=60")
    assert len(response.json()["searches"]) == 2


async def left(service: Running) -> None:
    """The only reader of a stream goes, and does not come back."""
    how = service.http.stream("POST", "/search/stream", json=asked("gated tag=never"))
    async with how as response:
        await anext(response.aiter_bytes())
    [run] = service.service.runs._runs.values()
    await until(lambda: run._linger is not None)
    assert not run.ended
    skip(30)
    await run.finished()
    assert run.cancelled


async def left_waiting(service: Running) -> None:
    """Whoever waits without a way to come back stops the search by going."""
    waiting = asyncio.create_task(service.http.post("/search", json=asked("gated tag=never")))
    await service.record.until(lambda record: record.open == 1)
    await quiet(service)
    waiting.cancel()
    await service.record.idle()


async def timed_out(service: Running) -> None:
    waiting = asyncio.create_task(service.http.post("/search", json=asked("hang"), timeout=None))
    await service.record.until(lambda record: record.open == 1)
    await settle()
    skip(60)
    assert (await waiting).json()["code"] == "upstream_timeout"


STORIES: dict[str, tuple[Callable[[Running], Awaitable[None]], Decimal | None]] = {
    "joined": (joined, AS_BILLED),
    "cached": (cached, AS_BILLED),
    "resumed": (resumed, AS_BILLED),
    "retried, then well": (retried, AS_BILLED),
    "retried in vain": (retried_in_vain, FREE),
    "cancelled": (cancelled, RESERVED),
    "cancelled before any event": (cancelled_at_once, RESERVED),
    "cancelled after two calls": (cancelled_after_two_calls, 2 * FEE + RESERVED_TOKENS),
    "left": (left, RESERVED),
    "left while waiting": (left_waiting, RESERVED),
    "timed out before any event": (timed_out, RESERVED),
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_search_is_paid_once_however_many_read_it_and_however_they_leave(
    story: str,
) -> None:
    tell, charged = STORIES[story]
    async with asyncio.timeout(GUARD_S + 60), running() as service:
        await tell(service)
        await service.record.idle()
        await books_hold(service, charged)


async def test_what_was_never_admitted_costs_nothing() -> None:
    async with running(capacity=1, capacity_wait_s=0) as service:
        first = asyncio.create_task(service.http.post("/search", json=asked("gated tag=o")))
        await service.record.until(lambda record: record.open == 1)
        full = await service.http.post("/search", json=asked("normal"))
        assert (full.status_code, full.json()["code"]) == (503, "overloaded")
        assert service.service.guards.budget.reserved == RESERVED
        assert service.simulator is not None
        await service.simulator.state.gate.open("o")
        await first
        await service.record.idle()
        await books_hold(service, AS_BILLED)
