from decimal import Decimal

import pytest

from app.guards.prices import Prices, parse_prices
from app.models import Cost, Usage

BEIJING = Prices(region="cn-beijing")
MILLION = 1_000_000


def given(text: str, region: str = "cn-beijing") -> Prices:
    return Prices(region=region, given=parse_prices(text))


def total(prices: Prices, model: str, usage: Usage) -> str | None:
    cost = prices.cost_of(model, usage)
    return format(cost.total.normalize(), "f") if cost else None


def test_the_contracts_example_costs_what_it_says() -> None:
    usage = Usage(input_tokens=2_753, output_tokens=181, image_search_calls=1)
    cost = BEIJING.cost_of("qwen3.7-plus", usage)
    assert cost == Cost(tokens=Decimal("0.006954"), tools=Decimal("0.048"))
    assert cost is not None
    assert cost.as_json() == {
        "currency": "CNY",
        "total": 0.054954,
        "tokens": 0.006954,
        "tools": 0.048,
    }


@pytest.mark.parametrize(
    ("model", "input_tokens", "per_input", "per_output"),
    [
        ("qwen3.7-max", 1, "12", "36"),
        ("qwen3.7-max", 900_000, "12", "36"),
        ("qwen3.7-plus", 262_144, "2", "8"),
        ("qwen3.7-plus", 262_145, "6", "24"),
        ("qwen3.6-plus", 262_144, "2", "12"),
        ("qwen3.6-plus", 262_145, "8", "48"),
        ("qwen3.6-flash", 262_144, "1.2", "7.2"),
        ("qwen3.6-flash", 262_145, "4.8", "28.8"),
        ("qwen3.5-flash", 131_072, "0.2", "2"),
        ("qwen3.5-flash", 131_073, "0.8", "8"),
        ("qwen3.5-flash", 262_144, "0.8", "8"),
        ("qwen3.5-flash", 262_145, "1.2", "12"),
        ("qwen3.7-plus-2026-05-26", 1, "2", "8"),
        ("qwen3.7-max-2026-06-08", 1, "12", "36"),
        ("qwen3.6-flash-2026-04-16", 262_145, "4.8", "28.8"),
    ],
)
def test_tokens_are_priced_by_model_and_by_tier_of_the_input(
    model: str, input_tokens: int, per_input: str, per_output: str
) -> None:
    cost = BEIJING.cost_of(model, Usage(input_tokens=input_tokens, output_tokens=MILLION))
    assert cost
    assert cost.tools == 0
    assert cost.tokens == input_tokens * Decimal(per_input) / MILLION + Decimal(per_output)


@pytest.mark.parametrize("model", ["qwen3.8-max", "qwen3.8-max-0902", "qwen3.5-27b", "gpt-9", ""])
def test_a_model_that_is_not_in_the_table_has_no_price(model: str) -> None:
    assert BEIJING.cost_of(model, Usage(image_search_calls=1)) is None
    estimate = BEIJING.estimate(model=model, images=1, max_output_tokens=None)
    assert estimate.cost is None
    assert BEIJING.cut_short(estimate, 2) is None


@pytest.mark.parametrize(
    ("region", "fee"),
    [
        ("cn-beijing", "0.048"),
        ("us-east-1", "0.048"),
        ("eu-central-1", "0.048"),
        ("ap-southeast-1", "0.058713905"),
        ("ap-northeast-1", None),
        ("cn-hongkong", None),
    ],
)
def test_the_tools_fee_is_the_regions(region: str, fee: str | None) -> None:
    free_tokens = given('{"m": {"input": 0, "output": 0}}', region)
    assert total(free_tokens, "m", Usage(image_search_calls=1)) == fee
    assert free_tokens.known == (fee is not None)


def test_abroad_token_prices_are_not_guessed() -> None:
    abroad = Prices(region="ap-southeast-1")
    assert abroad.cost_of("qwen3.7-plus", Usage(input_tokens=1)) is None
    assert not abroad.known
    assert BEIJING.known


def test_given_prices_stand_over_the_built_in_ones() -> None:
    prices = given(
        """{"image_search": 50.5, "qwen3.8-max": {"input": 1.5, "output": 9},
            "qwen3.7-plus-2026-05-26": {"input": 1, "output": 1}, "qwen3.6-plus": [
            {"up_to": 10, "input": 1, "output": 0}, {"up_to": 20, "input": 2, "output": 0}]}"""
    )
    rows = {
        ("qwen3.8-max", 1_000): "0.0015",
        ("qwen3.8-max-0902", 1_000): "0.0015",
        ("qwen3.7-plus", 1_000): "0.002",
        ("qwen3.7-plus-2026-05-26", 1_000): "0.001",
        ("qwen3.6-plus", 10): "0.00001",
        ("qwen3.6-plus", 11): "0.000022",
        ("qwen3.6-plus", 30): "0.00006",
    }
    found = {row: total(prices, row[0], Usage(input_tokens=row[1])) for row in rows}
    assert found == rows
    assert total(prices, "qwen3.7-plus", Usage(image_search_calls=2)) == "0.101"


def test_no_given_prices_is_the_built_in_table() -> None:
    assert parse_prices("  ") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be JSON"),
        ('{"m": {"input": NaN, "output": 1}}', "must be JSON"),
        ("[]", "must be like"),
        ('{"image_search": "48"}', "the numbers of image_search must be"),
        ('{"image_search": -1}', "the numbers of image_search must be"),
        ('{"image_search": 1e99}', "the numbers of image_search must be"),
        ('{"m": 4}', "m needs input and output"),
        ('{"m": {"input": 4}}', "m needs input and output"),
        ('{"m": {"input": 4, "output": 4, "cached": 1}}', "m needs input and output"),
        ('{"m": {"input": true, "output": 1}}', "the numbers of m must be"),
        ('{"m": []}', "the tiers of m must"),
        ('{"m": [{"input": 1, "output": 1}, {"input": 2, "output": 2}]}', "the tiers of m must"),
        (
            '{"m": [{"up_to": 9, "input": 1, "output": 1}, {"up_to": 9, "input": 2, "output": 2}]}',
            "the tiers of m must",
        ),
    ],
)
def test_bad_prices_are_refused_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^PRICES: {reason}") as refused:
        parse_prices(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("images", "max_output_tokens", "tools", "tokens"),
    [
        (1, None, "0.048", "0.036"),
        (0, None, "0.048", "0.036"),
        (3, None, "0.144", "0.036"),
        (1, 100, "0.048", "0.0208"),
        (1, 64_000, "0.048", "0.532"),
        (1, 10**30, "0.048", "8.02"),
    ],
)
def test_the_estimate_is_a_call_for_each_image_and_the_tokens(
    images: int, max_output_tokens: int | None, tools: str, tokens: str
) -> None:
    estimate = BEIJING.estimate(
        model="qwen3.7-plus", images=images, max_output_tokens=max_output_tokens
    )
    assert estimate.cost == Cost(tokens=Decimal(tokens), tools=Decimal(tools))
