"""How much may be searched: at once (the capacity), and for how much money a day (budgets)."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.clock import quiet, skip, until
from tests.e2e.callers import ASKED, BLOG, GUARDED, SHOP
from tests.e2e.money import RESERVED, no_search_runs, price, spent
from tests.service import Running, running
from tests.waiting import eventually

SMALL = Decimal("0.09")
"""One search fits, and three do not, however a budget counts the one that crosses it."""


@pytest.mark.parametrize(
    ("count", "asked", "budget", "least", "most"),
    [
        (120, {}, 25 * RESERVED, 24, 26),
        (20, {"max_output_tokens": 16}, 1, 13, 16),
        (20, {"max_output_tokens": 64_000}, 1, 1, 2),
        (20, {"image_url": [ASKED["image_url"]] * 8}, 1, 2, 3),
    ],
)
async def test_of_many_searches_at_once_as_many_are_admitted_as_the_budget_is_for(
    count: int, asked: dict[str, Any], budget: Decimal, least: int, most: int
) -> None:
    """What is set aside for each follows from its images and tokens."""
    async with running(budget_total_cny_per_day=budget, capacity=0) as service:
        bodies = [ASKED | {"prompt": f"[sim gated tag=all] {n}"} | asked for n in range(count)]
        searches = [
            asyncio.create_task(service.http.post("/search", json=body, timeout=None))
            for body in bodies
        ]
        await until(lambda: service.record.open + sum(one.done() for one in searches) == count)
        admitted = service.record.open
        assert least <= admitted <= most
        assert await spent(service) == 0
        await service.open_gate("all")
        answers = [await search for search in searches]
        refused = [answer.json() for answer in answers if answer.status_code == 402]
        results = [answer.json() for answer in answers if answer.status_code == 200]
        assert (len(results), len(refused)) == (admitted, count - admitted)
        assert {(one["code"], one["retryable"]) for one in refused} == {("budget_exceeded", False)}
        assert service.record.billed == admitted
        owed = price(service.record.calls)
        assert sum(Decimal(str(result["cost"]["total"])) for result in results) == owed > 0
        await eventually(lambda: no_search_runs(service))
        assert await spent(service) == owed


async def use_up(service: Running, client: dict[str, str]) -> httpx.Response:
    bodies = [ASKED | {"prompt": f"Question {number}"} for number in range(3)]
    answers = [await service.http.post("/search", json=body, headers=client) for body in bodies]
    refused = next(answer for answer in answers if answer.is_error)
    assert answers[0].status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded")
    again = await service.http.post("/search", json=bodies[0], headers=client)
    assert (again.status_code, again.headers["x-cache"]) == (200, "hit")
    return refused


async def test_one_clients_budget_is_not_anothers_and_that_of_all_is_everybodys() -> None:
    async with running(**GUARDED, budget_client_cny_per_day=SMALL) as service:
        for client in (SHOP, BLOG):
            await use_up(service, client)
    # A refused search gives its place back: there is one only.
    limits: dict[str, Any] = {"budget_total_cny_per_day": SMALL, "capacity": 1}
    async with running(**GUARDED, **limits, capacity_wait_s=0) as service:
        refused = (await use_up(service, SHOP)).json()
        to_midnight_s = 86_400 - time.time() % 86_400
        difference_s = abs(refused["retry_after"] - to_midnight_s)
        assert min(difference_s, 86_400 - difference_s) <= 10
        response, events = await service.stream("GET", params=ASKED, headers=BLOG)
        assert (response.status_code, events) == (402, [])


@pytest.mark.parametrize("limit", ["budget_total_cny_per_day", "budget_client_cny_per_day"])
async def test_with_a_budget_a_model_without_a_price_is_refused(limit: str) -> None:
    limits: dict[str, Any] = {limit: Decimal(1)}
    async with running(**limits) as service:
        answer = await service.http.post("/search", json=ASKED | {"model": "qwen3.8-27b"})
        assert (answer.status_code, answer.json()["code"]) == (422, "model_not_allowed")
        assert "PRICES" in answer.json()["detail"]


async def begin(service: Running, tag: str) -> asyncio.Task[httpx.Response]:
    asked = ASKED | {"prompt": f"[sim gated tag={tag}]"}
    asking = asyncio.create_task(service.http.post("/search", json=asked, timeout=None))
    await quiet()
    return asking


async def test_who_waits_is_served_in_time_or_refused_at_no_cost_and_who_left_is_not() -> None:
    async with running(capacity=1, capacity_wait_s=20) as service:
        first, late = await begin(service, "first"), await begin(service, "late")
        skip(19)
        await quiet()
        assert not late.done()
        skip(1.5)
        refused = await late
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.json()["retryable"] is True
        assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] >= 1
        assert (service.record.total, await spent(service)) == (1, Decimal(0))
        gone, waiting = await begin(service, "gone"), await begin(service, "next")
        gone.cancel()
        await quiet()
        await service.open_gate("first")
        await service.open_gate("next")
        assert (await first).json()["status"] == (await waiting).json()["status"] == "completed"
        assert service.record.total == 2
