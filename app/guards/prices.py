"""What a search costs, in CNY and exact: the documented table, what `PRICES` puts over it, sums.

Built-in prices as of 2026-11-22. Fees of the tool: DashScope's `image_search` page. Token prices:
a third party's copy of the mainland price list. Discounts for cached input are left out, so a sum
can only be too high. Fees of other tools than `image_search` are not known here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.models import Cost, Usage

IMAGE_SEARCH = "image_search"
"""The name under which `PRICES` gives the tool's fee, CNY per 1,000 calls."""

ESTIMATED_INPUT_TOKENS = 10_000
"""A search with its results in the prompt; the documented samples have 2,753 to 8,371."""
ESTIMATED_OUTPUT_TOKENS = 2_000
OUTPUT_TOKENS_MAX = 1_000_000
"""More than any model writes: bounds what a caller's `max_output_tokens` can reserve."""

K = 1_024
"""Tokens in the "K" of price tiers, as in these models' windows (256K is 262,144)."""


@dataclass(frozen=True, slots=True)
class Tier:
    """CNY per million tokens, for requests of up to so many input tokens (`None`: any)."""

    input: Decimal
    output: Decimal
    up_to: int | None = None


Tiers = tuple[Tier, ...]
TIER_FIELDS = {"input", "output", "up_to"}
NUMBER_MAX = 10_000_000
"""Bounds `PRICES`, so that sums stay within the 28 digits in which `decimal` is exact."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a search will cost as far as one can tell before it; `cost` is `None` without prices."""

    model: str
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices that `PRICES` gives: the fee per 1,000 calls, and tiers by model."""

    fee: Decimal | None
    models: Mapping[str, Tiers]


def _tiers(*rows: tuple[str, str, int | None]) -> Tiers:
    return tuple(
        Tier(Decimal(paid_in), Decimal(paid_out), up_to) for paid_in, paid_out, up_to in rows
    )


MAINLAND = "cn-beijing"

TOKEN_PRICES: Mapping[str, Tiers] = {
    "qwen3.7-max": _tiers(("12", "36", None)),
    "qwen3.7-plus": _tiers(("2", "8", 256 * K), ("6", "24", None)),
    "qwen3.6-plus": _tiers(("2", "12", 256 * K), ("8", "48", None)),
    "qwen3.6-flash": _tiers(("1.2", "7.2", 256 * K), ("4.8", "28.8", None)),
    "qwen3.5-flash": _tiers(("0.2", "2", 128 * K), ("0.8", "8", 256 * K), ("1.2", "12", None)),
}
"""By series, in the mainland region. Elsewhere prices are in other currencies: not guessed."""

FEES = {
    MAINLAND: Decimal(48),
    "us-east-1": Decimal(48),
    "eu-central-1": Decimal(48),
    "ap-southeast-1": Decimal("58.713905"),
}
"""CNY per 1,000 calls: mainland and global deployments, then the international one (Singapore)."""

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
"""The date that a snapshot of a series has at its end; it costs what its series costs."""


class Prices:
    """Prices of one region, with those of `given` over the built-in ones."""

    def __init__(self, *, region: str, given: PriceList | None = None) -> None:
        given = given or PriceList(None, {})
        self._fee = FEES.get(region) if given.fee is None else given.fee
        self._models = {**(TOKEN_PRICES if region == MAINLAND else {}), **given.models}

    @property
    def known(self) -> bool:
        """Whether anything can be priced at all."""
        return self._fee is not None and bool(self._models)

    def cost_of(self, model: str, usage: Usage) -> Cost | None:
        """Cost of an answer; `None` when a price it takes is not known.

        The tier is that of the answer's input tokens, which hold the results found too.
        """
        tiers = self._models.get(model) or self._models.get(SNAPSHOT.sub("", model))
        if self._fee is None or not tiers:
            return None
        tier = next(
            (row for row in tiers if row.up_to is None or usage.input_tokens <= row.up_to),
            tiers[-1],
        )
        tokens = usage.input_tokens * tier.input + usage.output_tokens * tier.output
        return Cost(
            tokens=tokens.scaleb(-6), tools=(usage.image_search_calls * self._fee).scaleb(-3)
        )

    def estimate(self, *, model: str, images: int, max_output_tokens: int | None) -> Estimate:
        """What is set aside for a search: a call for each image, at least one, and its tokens."""
        usage = Usage(
            input_tokens=ESTIMATED_INPUT_TOKENS,
            output_tokens=min(max_output_tokens or ESTIMATED_OUTPUT_TOKENS, OUTPUT_TOKENS_MAX),
            image_search_calls=max(1, images),
        )
        return Estimate(model, self.cost_of(model, usage))

    def cut_short(self, estimate: Estimate, calls: int) -> Cost | None:
        """Cost of a search that ended before its usage was told, with `calls` tool calls seen."""
        one = self.cost_of(estimate.model, Usage(image_search_calls=1))
        if estimate.cost is None or one is None:
            return None
        return Cost(tokens=estimate.cost.tokens, tools=max(1, calls) * one.tools)


def parse_prices(text: str) -> PriceList | None:
    """Read `PRICES`: JSON of names and prices; `None` when empty.

    `{"image_search": 48, "a-model": {"input": 2, "output": 8},
    "another": [{"up_to": 262144, "input": 2, "output": 8}, {"input": 6, "output": 24}]}`:
    CNY per 1,000 calls and per million tokens, tiers by input tokens in rising order.

    Raises:
        ValueError: With one sentence that names what is wrong.
    """
    if not text.strip():
        return None
    try:
        given = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refused)
    except ValueError as exc:
        raise ValueError("PRICES: must be JSON") from exc
    if not isinstance(given, dict):
        example = '{"a-model": {"input": 2, "output": 8}}'
        raise ValueError(f"PRICES: must be like {example}")  # noqa: TRY004 - as for other settings
    fee = _price(given.pop(IMAGE_SEARCH), IMAGE_SEARCH) if IMAGE_SEARCH in given else None
    return PriceList(fee, {model: _read_tiers(rows, model) for model, rows in given.items()})


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _read_tiers(rows: Any, model: str) -> Tiers:
    tiers = tuple(_read_tier(row, model) for row in (rows if isinstance(rows, list) else [rows]))
    bounds = [tier.up_to for tier in tiers]
    limits = [bound for bound in bounds if bound is not None]
    if not tiers or None in bounds[:-1] or sorted(set(limits)) != limits:
        raise ValueError(
            f"PRICES: the tiers of {model} must have rising up_to, the last may omit it"
        )
    return tiers


def _read_tier(row: Any, model: str) -> Tier:
    if not isinstance(row, dict) or not {"input", "output"} <= row.keys() <= TIER_FIELDS:
        raise ValueError(f"PRICES: {model} needs input and output, and may have up_to")
    up_to = int(_price(row["up_to"], model)) if "up_to" in row else None
    return Tier(_price(row["input"], model), _price(row["output"], model), up_to)


def _price(value: Any, name: str) -> Decimal:
    if not isinstance(value, Decimal) or not 0 <= value <= NUMBER_MAX:
        raise ValueError(f"PRICES: the numbers of {name} must be from 0 to {NUMBER_MAX}")
    return value
