"""What searches should cost, by the upstream's own record and the documented prices."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from simulator.record import Call
from tests.service import Running

FEE = Decimal("0.048")
"""CNY for a call of the tool."""
INPUT, OUTPUT = Decimal("0.000002"), Decimal("0.000008")
"""CNY for a token of qwen3.7-plus."""
UNKNOWN_TOKENS = 10_000 * INPUT + 2_000 * OUTPUT
"""CNY for the tokens of an answer that does not tell how many there were."""
RESERVED = FEE + UNKNOWN_TOKENS
"""CNY set aside for a search of one image."""
QUESTION = 500 * INPUT
"""The one place that lets a reservation count the question's characters too, one token each."""


class Charge(NamedTuple):
    """What a search may cost at least and at most, in CNY."""

    least: Decimal
    most: Decimal

    def holds(self, amount: Decimal) -> bool:
        return self.least <= amount <= self.most


FREE = Charge(Decimal(0), Decimal(0))


def unknown(calls: int = 1) -> Charge:
    """The charge where the upstream may have billed and does not tell what."""
    return Charge(calls * FEE + UNKNOWN_TOKENS, calls * FEE + UNKNOWN_TOKENS + QUESTION)


def price(calls: Iterable[Call]) -> Decimal:
    """The sum over calls that were answered to their end."""
    return sum(
        (
            call.tool_calls * FEE + call.input_tokens * INPUT + call.output_tokens * OUTPUT
            for call in calls
        ),
        Decimal(0),
    )


async def spent(service: Running) -> Decimal:
    """CNY that the service says it has spent."""
    return Decimal(await service.metric("imagesearch_spend_cny_total")).quantize(Decimal("1e-9"))


async def no_search_runs(service: Running) -> bool:
    return await service.metric("imagesearch_runs_active") == 0
