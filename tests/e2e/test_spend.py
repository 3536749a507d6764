"""What is charged for a search, however it ends: what was used, or else what may have been."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.clock import quiet, settle, skip
from tests.e2e.callers import ASKED
from tests.e2e.money import FREE, Charge, no_search_runs, price, spent, unknown
from tests.service import Running, read_events, running, shared
from tests.waiting import eventually, hurried
from tests.wire import EVENT_STREAM

AS_BILLED = None
"""In the tables: what the stand-in's record comes to."""


def asked(scenario: str) -> dict[str, Any]:
    return ASKED | {"prompt": f"[sim {scenario}]"}


async def is_charged(service: Running, charge: Charge | None, before: Decimal) -> Decimal:
    await service.record.idle()
    await eventually(lambda: no_search_runs(service))
    amount = await spent(service) - before
    if charge is AS_BILLED:
        assert amount == price(service.record.calls)
    else:
        assert charge.holds(amount), amount
    return amount


service = shared(running, upstream_retries=0, cache_ttl_s=0)
PLAIN: dict[str, Charge | None] = {
    "normal": AS_BILLED,
    "two_calls": AS_BILLED,
    "usage_without_x_tools": AS_BILLED,
    "two_calls usage_without_x_tools": AS_BILLED,
    "usage_missing": unknown(),
    "two_calls usage_missing": unknown(calls=2),
    "http_400": FREE,
    "http_429": FREE,
    "throttled_200": FREE,
    "data_inspection": FREE,
    "backend_overflow": FREE,
    "http_500": unknown(),
    "fails_after_billing": unknown(),
    "reset_before_headers": unknown(),
    "failed_mid_stream": unknown(),
    "error_frame_mid_stream": unknown(),
    "empty_200": unknown(),
    "html_200": unknown(),
    "cut_after_results": unknown(),
    "two_calls no_terminal": unknown(calls=2),
    "reset_mid_stream": unknown(),
}


@pytest.mark.parametrize("way", ["waiting", "streaming"])
@pytest.mark.parametrize("scenario", PLAIN)
async def test_a_search_is_charged_by_how_it_ended(
    scenario: str, way: str, service: Running
) -> None:
    service.record.reset()
    before = await spent(service)
    if way == "waiting":
        response = await service.http.post("/search", json=asked(scenario))
        body = response.json()
        result = body.get("result") if response.is_error else body
    else:
        _, events = await service.stream("GET", params=asked(scenario))
        body = events[-1].json()
        result = body["result"] if events[-1].event == "search.failed" else body
    amount = await is_charged(service, PLAIN[scenario], before)
    if result:
        assert Decimal(str(result["cost"]["total"])) == amount
    assert service.record.total == 1


async def joined(service: Running) -> None:
    body = asked("gated tag=j")
    both = [asyncio.create_task(service.http.post("/search", json=body)) for _ in range(2)]
    await service.until_metric("imagesearch_cache_total", 2)
    await service.open_gate("j")
    answers = [await one for one in both]
    answers.append(await service.http.post("/search", json=body))
    assert sorted(one.headers["x-cache"] for one in answers) == ["coalesced", "hit", "miss"]


async def retried(service: Running) -> None:
    asking = service.http.post("/search", json=asked("http_429 times=2 tag=r"), timeout=None)
    assert (await hurried(asking)).json()["status"] == "completed"
    assert (service.record.total, service.record.billed) == (3, 1)


async def stopped(service: Running, scenario: str, *, after: str, times: int = 1) -> Any:
    how = service.http.stream("GET", "/search/stream", params=asked(scenario), headers=EVENT_STREAM)
    async with how as response:
        events = read_events(response)
        seen = 0
        while seen < times:
            seen += (await anext(events)).event == after
        await service.record.until(lambda record: record.open == 1)
        answer = await service.http.delete(f"/search/{response.headers['x-search-id']}")
        rest = [event async for event in events]
    assert rest[-1].event == "search.cancelled"
    return answer.json()


async def cancelled(service: Running) -> None:
    result = await stopped(service, "gated tag=never", after="response.created")
    assert unknown().holds(Decimal(str(result["cost"]["total"])))


async def cancelled_after_two_calls(service: Running) -> None:
    result = await stopped(service, "two_calls stall after=60", after="search.results", times=2)
    assert len(result["searches"]) == 2


async def left(service: Running) -> None:
    how = service.http.stream("POST", "/search/stream", json=asked("gated tag=never"))
    async with how as response:
        await anext(response.aiter_bytes())
    await quiet()
    skip(31)


async def left_waiting(service: Running) -> None:
    waiting = asyncio.create_task(service.http.post("/search", json=asked("gated tag=never")))
    await service.record.until(lambda record: record.open == 1)
    waiting.cancel()


async def timed_out(service: Running) -> None:
    waiting = asyncio.create_task(service.http.post("/search", json=asked("hang"), timeout=None))
    await service.record.until(lambda record: record.open == 1)
    await settle()
    skip(60)
    assert (await waiting).json()["code"] == "upstream_timeout"


STORIES: list[tuple[Callable[[Running], Awaitable[None]], Charge | None]] = [
    (joined, AS_BILLED),
    (retried, AS_BILLED),
    (cancelled, unknown()),
    (cancelled_after_two_calls, unknown(calls=2)),
    (left, unknown()),
    (left_waiting, unknown()),
    (timed_out, unknown()),
]


@pytest.mark.parametrize(("happens", "charge"), STORIES)
async def test_a_search_is_paid_once_however_many_read_it_and_however_they_leave(
    happens: Callable[[Running], Awaitable[None]], charge: Charge | None
) -> None:
    async with running(stream_progress_s=0) as service:
        await happens(service)
        await is_charged(service, charge, Decimal(0))
