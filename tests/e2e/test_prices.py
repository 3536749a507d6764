"""What a search costs, exactly, for each model, region and usage that the upstream tells."""

from decimal import Decimal
from typing import Any

import pytest

from tests import dashscope
from tests.dashscope import CREATED, DONE, MESSAGE, Json, block, completed, data, event, usage
from tests.e2e.callers import ASKED
from tests.e2e.money import spent, unknown
from tests.peer import JSON, answer, says, stream
from tests.service import Running, fronting

MILLION = 1_000_000


def told(*used: int | None) -> Json:
    return {"usage": usage(*used)}  # type: ignore[arg-type] # the first two are numbers


async def ask(service: Running, number: int, **more: Any) -> Json:
    asked = ASKED | {"prompt": f"Question {number}"} | more
    answer = (await service.http.post("/search", json=asked)).json()
    result = answer.get("result", answer)
    cost: Json = result["cost"]
    return cost


def exactly(cost: Json, *, tokens: Decimal | str, tools: Decimal | str) -> None:
    tokens, tools = Decimal(tokens), Decimal(tools)
    shown = [Decimal(str(cost[name])) for name in ("total", "tokens", "tools")]
    assert [*shown, cost["currency"]] == [tokens + tools, tokens, tools, "CNY"]


TIERS: list[tuple[str, int, str, str]] = [
    # model, input tokens, CNY for a million of input and of output
    ("qwen3.7-plus", 262_144, "2", "8"),
    ("qwen3.7-plus", 262_145, "6", "24"),
    ("qwen3.5-flash", 131_073, "0.8", "8"),
    ("qwen3.5-flash", 262_145, "1.2", "12"),
    ("qwen3.6-flash-2026-04-16", 262_145, "4.8", "28.8"),
]


async def test_tokens_are_priced_by_model_and_by_tier_of_the_input() -> None:
    ends = [completed(**told(tokens, MILLION, 0)) for _, tokens, *_ in TIERS]
    parts = [says(stream(block(CREATED), block(end))) for end in ends]
    async with fronting(*parts) as (service, _):
        for number, (model, tokens, per_input, per_output) in enumerate(TIERS):
            cost = await ask(service, number, model=model)
            due = tokens * Decimal(per_input) / MILLION + Decimal(per_output)
            exactly(cost, tokens=due, tools="0")


INCOMPLETE = {"status": "incomplete", **told(500, 16, 1)}
USAGES: list[tuple[list[dashscope.Event], str, str]] = [
    # the events after the first, and what tokens and tools cost
    ([DONE, completed(**told(2_753, 181, 1))], "0.006954", "0.048"),
    # more calls than were seen; not counted, one or none seen
    ([DONE, completed(**told(1_000, 0, 3))], "0.002", "0.144"),
    ([DONE, completed(**told(1_000, 0))], "0.002", "0.048"),
    ([completed(MESSAGE, **told(1_000, 0))], "0.002", "0"),
    ([DONE, event("response.incomplete", response=INCOMPLETE)], "0.001128", "0.048"),
]


async def test_a_search_costs_what_the_upstream_says_was_used() -> None:
    parts = [says(stream(block(CREATED), *map(block, events))) for events, _, _ in USAGES]
    paid = Decimal(0)
    async with fronting(*parts) as (service, _):
        for number, (_, tokens, tools) in enumerate(USAGES):
            exactly(await ask(service, number), tokens=tokens, tools=tools)
            paid += Decimal(tokens) + Decimal(tools)
            assert await spent(service) == paid


FAILED = dashscope.failed("server_error", "It broke.")
USED = told(2_753, 181, 1)
WHOLE = {"id": "resp_1", "status": "completed", "output": [MESSAGE]}
OK, REFUSED, BROKEN = "200 OK", "400 Bad Request", "500 Internal Server Error"
FAILURES: dict[str, bytes] = {
    "200": answer(OK, data(FAILED | USED), JSON),
    "400": answer(REFUSED, data(FAILED | USED), JSON),
    "500": answer(BROKEN, data(FAILED | USED), JSON),
    "byte order mark": answer(BROKEN, b"\xef\xbb\xbf" + data(FAILED | USED), JSON),
    "nested": answer(BROKEN, data({"error": {"message": "It broke."} | USED}), JSON),
    "cut": answer(OK, data(WHOLE | USED), JSON, "x-dashscope-partialresponse: true"),
    "event": stream(block(CREATED), block(event("response.failed", response=FAILED | USED))),
    "other name": stream(block(event("response.completed", response=FAILED | USED))),
    "flat": stream(block(CREATED), block(event("error", code="x", **USED))),
}


@pytest.mark.parametrize("how", FAILURES)
async def test_a_failure_that_says_what_was_used_costs_exactly_that(how: str) -> None:
    asked = {"model": "qwen3.7-plus", "input": "?", "stream": FAILURES[how].count(b"\nevent:") > 0}
    async with fronting(says(FAILURES[how]), upstream_retries=0) as (service, _):
        await service.http.post("/v1/responses", json=asked)
        assert await spent(service) == Decimal("0.054954")


@pytest.mark.parametrize("used", [{}, told(0, 0), told(-5, 0), {"usage": {"input_tokens": "9"}}])
async def test_usage_that_tells_of_no_token_is_estimated(used: Json) -> None:
    ended = event("response.failed", response=FAILED | used)
    for said in (answer(BROKEN, data(FAILED | used), JSON), stream(block(CREATED), block(ended))):
        async with fronting(says(said), upstream_retries=0) as (service, _):
            await service.http.post("/search", json=ASKED)
            assert unknown().holds(await spent(service))


@pytest.mark.parametrize(
    ("settings", "tokens", "fee"),
    [
        ({"dashscope_region": "cn-beijing"}, "6", "0.048"),
        # In USD, and converted.
        ({"dashscope_region": "ap-southeast-1"}, "2.9356952", "0.058713905"),
        ({"dashscope_region": "ap-southeast-1", "cny_per_usd": "7.5"}, "3", None),
    ],
)
async def test_tokens_and_the_tools_fee_cost_what_they_do_in_the_region(
    settings: Json, tokens: str, fee: str | None
) -> None:
    part = says(stream(block(CREATED), block(completed(**told(MILLION, 0, 1 if fee else 0)))))
    async with fronting(part, dashscope_workspace_id="ws-1", **settings) as (service, _):
        exactly(await ask(service, 0), tokens=tokens, tools=fee or "0")


PRICES = """{"image_search": 50.5, "mine": {"input": 1.5, "output": 9},
    "qwen3.7-plus-2026-05-26": {"input": 1, "output": 1}, "qwen3.6-plus": [
    {"up_to": 10, "input": 1, "output": 0}, {"up_to": 20, "input": 2, "output": 0}]}"""
GIVEN = {
    ("mine", 1_000): "0.0015",
    ("qwen3.7-plus", 1_000): "0.002",
    ("qwen3.7-plus-2026-05-26", 1_000): "0.001",
    ("qwen3.6-plus", 11): "0.000022",
    ("qwen3.6-plus", 30): "0.00006",
}


async def test_given_prices_stand_over_the_built_in_ones() -> None:
    ends = [completed(**told(tokens, 0, 2)) for _, tokens in GIVEN]
    parts = [says(stream(block(CREATED), block(end))) for end in ends]
    models = ",".join(sorted({model for model, _ in GIVEN}))
    settings: Json = {"prices": PRICES, "allowed_models": models}
    async with fronting(*parts, **settings) as (service, _):
        for number, ((model, _), tokens) in enumerate(GIVEN.items()):
            exactly(await ask(service, number, model=model), tokens=tokens, tools="0.101")
