"""Budgets hold whatever comes at once, for each client and for all, until UTC midnight."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.clock import until
from tests.e2e.callers import ASKED, BLOG, GUARDED, SHOP
from tests.e2e.money import RESERVED, no_search_runs, price, spent
from tests.service import Running, running
from tests.waiting import eventually

GUARD_S = 60
SMALL: dict[str, Any] = {"budget_total_cny_per_day": Decimal("0.09")}
"""One search fits, and three do not, however a budget counts the one that crosses it."""


async def ask(service: Running, number: int, **more: Any) -> httpx.Response:
    asked = ASKED | {"prompt": f"[sim gated tag=all] number {number}"} | more
    return await service.http.post("/search", json=asked, timeout=None)


async def admitted_at_once(count: int, asked: dict[str, Any], **settings: Any) -> int:
    async with asyncio.timeout(GUARD_S), running(**settings, capacity=0) as service:
        searches = [asyncio.create_task(ask(service, n, **asked)) for n in range(count)]
        await until(lambda: service.record.open + sum(one.done() for one in searches) == count)
        admitted = service.record.open
        assert await spent(service) == 0
        await service.open_gate("all")
        answers = [await search for search in searches]
        await service.record.idle()
        await check_balance(service, answers, admitted)
        return admitted


async def check_balance(service: Running, answers: list[httpx.Response], admitted: int) -> None:
    refused = [answer.json() for answer in answers if answer.status_code == 402]
    results = [answer.json() for answer in answers if answer.status_code == 200]
    assert (len(results), len(refused)) == (admitted, len(answers) - admitted)
    assert {(one["code"], one["retryable"]) for one in refused} <= {("budget_exceeded", False)}
    assert service.record.billed == admitted
    owed = price(service.record.calls)
    assert owed > 0
    assert sum(Decimal(str(result["cost"]["total"])) for result in results) == owed
    await eventually(lambda: no_search_runs(service))
    assert await spent(service) == owed


async def test_of_120_searches_at_once_a_budget_for_25_admits_no_more_than_26() -> None:
    budget = {"budget_total_cny_per_day": 25 * RESERVED}
    assert 24 <= await admitted_at_once(120, {}, **budget) <= 26


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ({"max_output_tokens": 16}, 13, 16),
        ({"max_output_tokens": 64_000}, 1, 2),
        ({"image_url": [ASKED["image_url"]] * 8}, 2, 3),
    ],
)
async def test_what_is_set_aside_follows_from_images_and_tokens(
    asked: dict[str, Any], least: int, most: int
) -> None:
    admitted = await admitted_at_once(20, asked, budget_total_cny_per_day=Decimal(1))
    assert least <= admitted <= most


async def use_up(service: Running, **headers: str) -> httpx.Response:
    for number in range(3):
        asked = ASKED | {"prompt": f"Question {number}"}
        answer = await service.http.post("/search", json=asked, headers=headers)
        if answer.status_code != 200:
            break
    assert number > 0
    assert (answer.status_code, answer.json()["code"]) == (402, "budget_exceeded")
    return answer


async def test_what_was_set_aside_is_given_back_when_the_search_has_ended() -> None:
    async with running(budget_total_cny_per_day=Decimal("0.25")) as service:
        for number in range(4):
            asked = ASKED | {"prompt": f"Question {number}"}
            answer = await service.http.post("/search", json=asked)
            assert answer.status_code == 200, answer.text


async def test_one_clients_budget_is_not_anothers() -> None:
    async with running(**GUARDED | {"budget_client_cny_per_day": Decimal("0.09")}) as service:
        for client in (SHOP, BLOG):
            await use_up(service, **client)
            asked = ASKED | {"prompt": "Question 0"}
            again = await service.http.post("/search", json=asked, headers=client)
            assert (again.status_code, again.headers["x-cache"]) == (200, "hit")


async def test_the_budget_of_all_is_used_up_by_anybody_until_utc_midnight() -> None:
    # A refused search gives its place back: there is one only.
    async with running(**GUARDED | SMALL, capacity=1, capacity_wait_s=0) as service:
        refused = (await use_up(service, **SHOP)).json()
        to_midnight_s = 86_400 - time.time() % 86_400
        difference_s = abs(refused["retry_after"] - to_midnight_s)
        assert min(difference_s, 86_400 - difference_s) <= 10
        for method in ("POST", "GET"):
            new = ASKED | {"prompt": f"By {method}"}
            how: dict[str, Any] = {"params": new} if method == "GET" else {"json": new}
            response, events = await service.stream(method, **how, headers=BLOG)
            assert (response.status_code, events) == (402, [])


async def test_with_a_budget_a_model_without_a_price_is_refused() -> None:
    unpriced = ASKED | {"model": "qwen3.8-27b"}
    for name in ("budget_total_cny_per_day", "budget_client_cny_per_day"):
        limit: dict[str, Any] = {name: Decimal(1)}
        async with running(**limit) as service:
            response = await service.http.post("/search", json=unpriced)
            assert (response.status_code, response.json()["code"]) == (422, "model_not_allowed")
            assert "PRICES" in response.json()["detail"]
    async with running() as service:
        result = (await service.http.post("/search", json=unpriced)).json()
        assert (result["status"], result["cost"]) == ("completed", None)
        assert await spent(service) == 0
