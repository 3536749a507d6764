"""What a search costs, in CNY and exact: the public prices, `PRICES` over them, estimates, sums.

Discounts for cached input are left out, so a cost can only be too high. Fees of other tools than
`image_search` are not known here.
"""

import re
from decimal import Decimal

from pydantic import BaseModel

from app.models import ResponsesRequest
from app.results import Cost, Usage
from app.setting_types import VENDOR, parse_prices
from app.settings import Settings

ESTIMATED_INPUT_TOKENS = 10_000  # A search with its results; documented ones have 2,753 to 8,371.
ESTIMATED_OUTPUT_TOKENS, THINKING_OUTPUT_TOKENS = 2_000, 8_000
THINKS_LONG = "qwen3.8-"  # Models that think at effort `xhigh` unless told otherwise.

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")  # A snapshot costs what its series costs.


class Estimate(BaseModel, frozen=True):
    """What is reserved for a search: `amount` in CNY, `None` without a price."""

    model: str
    usage: Usage
    amount: Decimal | None = None


class Prices:
    """Prices of the settings' region, with those of `PRICES` over the public ones."""

    def __init__(self, settings: Settings) -> None:
        region, given = settings.dashscope_region, settings.price_table
        public = VENDOR.prices.get(region) or parse_prices("")
        factor = settings.cny_per_usd if region in VENDOR.in_usd else Decimal(1)
        self._fee = public.fee if given.fee is None else given.fee
        self._models = {
            model: tuple(tier.times(factor) for tier in tiers)
            for model, tiers in public.models.items()
        } | given.models

    def cost_of(self, model: str, usage: Usage, *, estimated: bool = False) -> Cost | None:
        """Cost of an answer, by the tier of all its input; `None` if a price is not known."""
        tiers = self._models.get(model) or self._models.get(SNAPSHOT.sub("", model))
        if self._fee is None or not tiers:
            return None
        fitting = (row for row in tiers if row.up_to is None or usage.input_tokens <= row.up_to)
        tier = next(fitting, tiers[-1])
        tokens = usage.input_tokens * tier.input + usage.output_tokens * tier.output
        tokens, tools = tokens.scaleb(-6), (usage.image_search_calls * self._fee).scaleb(-3)
        return Cost(total=tokens + tools, tokens=tokens, tools=tools, estimated=estimated)

    def estimate(self, request: ResponsesRequest, *, earlier_tokens: int) -> Estimate:
        """What to reserve; `earlier_tokens` are those of the answer that is followed up."""
        thinks = request.model.startswith(THINKS_LONG)
        usual = THINKING_OUTPUT_TOKENS if thinks else ESTIMATED_OUTPUT_TOKENS
        output_tokens = request.max_output_tokens or usual
        input_tokens = ESTIMATED_INPUT_TOKENS + request.input_chars + earlier_tokens
        usage = Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens,
            image_search_calls=max(1, request.image_count),
        )
        cost = self.cost_of(request.model, usage)
        amount = cost.total if cost else None
        return Estimate(model=request.model, usage=usage, amount=amount)

    def unreported(self, estimate: Estimate, *, calls: int, shown_chars: int) -> Cost | None:
        """Cost of an answer without usage, of which so many calls and characters were seen."""
        shown = max(ESTIMATED_OUTPUT_TOKENS, shown_chars)
        usage = Usage(
            input_tokens=estimate.usage.input_tokens,
            output_tokens=min(estimate.usage.output_tokens, shown),
            image_search_calls=max(1, calls),
        )
        return self.cost_of(estimate.model, usage, estimated=True)
