"""What a search costs, in CNY and exact: the public prices, `PRICES` over them, estimates, sums.

Discounts for cached input are left out, so a cost can only be too high. Fees of other tools than
`image_search` are not known here.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from app.models import ResponsesRequest, SearchSpec
from app.results import Cost, Usage
from app.setting_types import PriceTier
from app.settings import Settings

ESTIMATED_INPUT_TOKENS = 10_000  # A search with its results; documented ones have 2,753 to 8,371.
ESTIMATED_OUTPUT_TOKENS, THINKING_OUTPUT_TOKENS = 2_000, 8_000
THINKS_LONG = "qwen3.8-"  # Models that think at effort `xhigh` unless told otherwise.

MAINLAND, INTERNATIONAL = "cn-beijing", "ap-southeast-1"
K = 1_024  # Tokens in the "K" of price tiers, as in the models' windows (256K is 262,144).
TOKEN_PRICES: dict[str, dict[str, list[tuple[str, str, int | None]]]] = {
    MAINLAND: {
        "qwen3.7-max": [("12", "36", None)],
        "qwen3.7-plus": [("2", "8", 256 * K), ("6", "24", None)],
        "qwen3.6-plus": [("2", "12", 256 * K), ("8", "48", None)],
        "qwen3.6-flash": [("1.2", "7.2", 256 * K), ("4.8", "28.8", None)],
        "qwen3.5-flash": [("0.2", "2", 128 * K), ("0.8", "8", 256 * K), ("1.2", "12", None)],
    },
    INTERNATIONAL: {
        "qwen3.7-plus": [("0.4", "1.6", None)],
        "qwen3.8-max": [("2", "6", None)],
    },
}
"""Per million tokens in and out, up to so many input tokens, by series: in CNY, the international
ones in USD. From third parties' copies of the vendor's price list, read on 2026-11-22 (qwen3.8-max
on 2026-11-28)."""
TOOL_FEES = {
    MAINLAND: Decimal(48),
    "us-east-1": Decimal(48),
    "eu-central-1": Decimal(48),
    INTERNATIONAL: Decimal("58.713905"),
}
"""CNY per 1,000 calls of `image_search`: mainland and global deployments, then the international
one. From the vendor's page of the tool, read on 2026-11-22."""
SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")  # A snapshot costs what its series costs.


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is reserved for a search: `amount` in CNY, `None` without a price."""

    model: str
    usage: Usage
    amount: Decimal | None


class Prices:
    """Prices of the settings' region, with those of `PRICES` over the public ones."""

    def __init__(self, settings: Settings) -> None:
        region, table = settings.dashscope_region, settings.price_table
        self._fee = TOOL_FEES.get(region) if table.fee is None else table.fee
        factor = settings.cny_per_usd if region == INTERNATIONAL else Decimal(1)
        public = {
            series: tuple(
                PriceTier(input=Decimal(i) * factor, output=Decimal(o) * factor, up_to=up_to)
                for i, o, up_to in tiers
            )
            for series, tiers in TOKEN_PRICES.get(region, {}).items()
        }
        self._models = public | dict(table.models)

    def known(self, model: str) -> bool:
        """Whether this model's answers have a price."""
        return self.cost_of(model, Usage()) is not None

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

    def estimate(self, request: SearchSpec | ResponsesRequest, *, earlier_tokens: int) -> Estimate:
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
        return Estimate(request.model, usage, cost.total if cost else None)

    def unreported(self, estimate: Estimate, *, calls: int, shown_chars: int) -> Cost | None:
        """Cost of an answer without usage, of which so many calls and characters were seen."""
        shown = max(ESTIMATED_OUTPUT_TOKENS, shown_chars)
        usage = Usage(
            input_tokens=estimate.usage.input_tokens,
            output_tokens=min(estimate.usage.output_tokens, shown),
            image_search_calls=max(1, calls),
        )
        return self.cost_of(estimate.model, usage, estimated=True)
