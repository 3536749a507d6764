"""What searches should have cost, by the stand-in's own record and the documented prices."""

from collections.abc import Iterable
from decimal import Decimal

from simulator.record import Call
from tests.service import Running

FEE = Decimal("0.048")
"""CNY for a call of the tool."""
INPUT, OUTPUT = Decimal("0.000002"), Decimal("0.000008")
"""CNY for a token of qwen3.7-plus."""
RESERVED_TOKENS = 10_000 * INPUT + 2_000 * OUTPUT
"""What is charged for tokens where nobody tells how many there were."""
RESERVED = FEE + RESERVED_TOKENS


def price(calls: Iterable[Call]) -> Decimal:
    """The sum over calls that were answered to their end."""
    return sum(
        (
            call.tool_calls * FEE + call.input_tokens * INPUT + call.output_tokens * OUTPUT
            for call in calls
        ),
        Decimal(0),
    )


async def metric(service: Running, name: str) -> Decimal:
    """A metric without labels, as it is shown."""
    lines = (await service.http.get("/metrics")).text.splitlines()
    return Decimal(next(line for line in lines if line.startswith(f"{name} ")).split(" ")[1])
