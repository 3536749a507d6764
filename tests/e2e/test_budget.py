"""Budgets hold whatever comes at once; the books agree with the upstream's to the last digit."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx

from tests.clock import until
from tests.e2e.callers import ASKED, BLOG, GUARDED, SHOP
from tests.e2e.money import RESERVED, metric, price
from tests.service import Running, running

GUARD_S = 60


async def ask(service: Running, number: int, **headers: str) -> httpx.Response:
    """A search like no other, which waits half way until the gate is opened."""
    asked = ASKED | {"prompt": f"[sim gated tag=all] number {number}"}
    return await service.http.post("/search", json=asked, headers=headers)


async def test_of_500_searches_at_once_a_budget_for_100_admits_no_more_than_101() -> None:
    settings: dict[str, Any] = {"budget_total_cny_per_day": 100 * RESERVED, "capacity": 0}
    async with asyncio.timeout(GUARD_S), running(**settings) as service:
        assert service.simulator is not None
        searches = [asyncio.create_task(ask(service, number)) for number in range(500)]
        guards = service.service.guards
        await until(lambda: sum(search.done() for search in searches) + service.record.open == 500)
        admitted = service.record.open
        assert 100 <= admitted <= 101
        assert guards.budget.spent == 0
        assert guards.budget.reserved == admitted * RESERVED
        await service.simulator.state.gate.open("all")
        answers = [await search for search in searches]
        await service.record.idle()
        refused = [answer for answer in answers if answer.status_code == 402]
        results = [answer.json() for answer in answers if answer.status_code == 200]
        assert (len(results), len(refused)) == (admitted, 500 - admitted)
        assert {answer.json()["code"] for answer in refused} == {"budget_exceeded"}
        assert {answer.json()["retryable"] for answer in refused} == {False}
        assert all(0 < answer.json()["retry_after"] <= 86_400 for answer in refused)
        owed = price(service.record.calls)
        assert service.record.billed == admitted
        assert owed > 0
        assert guards.spend.total == guards.budget.spent == owed
        assert guards.budget.reserved == guards.capacity.taken == 0
        assert sum(Decimal(str(result["cost"]["total"])) for result in results) == owed
        for result in results:
            cost = {
                name: Decimal(str(result["cost"][name])) for name in ("total", "tokens", "tools")
            }
            assert cost["total"] == cost["tokens"] + cost["tools"]
        assert await metric(service, "imagesearch_spend_cny_total") == owed
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_one_clients_budget_is_not_anothers() -> None:
    settings = GUARDED | {"budget_client_cny_per_day": Decimal("0.01")}
    async with running(**settings) as service:
        for client in (SHOP, BLOG):
            first = await service.http.post("/search", json=ASKED, headers=client)
            again = await service.http.post("/search", json=ASKED, headers=client)
            assert [first.headers["x-cache"], again.headers["x-cache"]] == ["miss", "hit"]
            new = ASKED | {"prompt": "Another question"}
            refused = await service.http.post("/search", json=new, headers=client)
            assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded")
        assert service.record.total == 2


async def test_a_used_up_budget_is_told_as_a_real_status_on_streams_too() -> None:
    async with running(budget_total_cny_per_day=Decimal("0.01")) as service:
        await service.http.post("/search", json=ASKED)
        for method in ("POST", "GET"):
            new = ASKED | {"prompt": f"By {method}"}
            how: dict[str, Any] = {"params": new} if method == "GET" else {"json": new}
            response, events = await service.stream(method, **how)
            assert (response.status_code, events) == (402, [])


async def test_with_a_budget_a_model_without_a_price_is_refused() -> None:
    unpriced = ASKED | {"model": "qwen3.8-27b"}
    async with running(budget_total_cny_per_day=Decimal(1)) as service:
        response = await service.http.post("/search", json=unpriced)
        assert (response.status_code, response.json()["code"]) == (422, "model_not_allowed")
    async with running() as service:
        result = (await service.http.post("/search", json=unpriced)).json()
        assert (result["status"], result["cost"]) == ("completed", None)
        assert service.service.guards.spend.total == 0
    async with running(prices='{"qwen3.8-27b": {"input": 0, "output": 0}}') as service:
        result = (await service.http.post("/search", json=unpriced)).json()
        assert result["cost"] == {"currency": "CNY", "total": 0.048, "tokens": 0.0, "tools": 0.048}
