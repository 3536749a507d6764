"""The admission of a search: a place, reserved money, and the settlement when it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import Billed, ModelNotAllowed
from app.guards.budget import NOTHING, Budget
from app.guards.capacity import Capacity
from app.guards.prices import Estimate, Prices
from app.models import Client
from app.results import Cost, Usage
from app.telemetry import Metrics

NO_PRICE = "This model has no known price, and a budget is set here; PRICES can add one."


@dataclass(slots=True)
class Permit:
    """One admitted search. Its run notes what it sees; the settlement follows from that."""

    usage: Usage | None = None
    """As the upstream reported it."""
    billed: Billed = "no"
    """Whether the upstream may have charged, where it did not report its usage."""
    calls: int = 0
    """Calls of the tool that were seen."""
    shown_chars: int = 0
    """Characters of output that were seen."""
    cost: Cost | None = None
    """What was charged; `None` until it is settled, and without a price."""


class Admission:
    """Admits searches within capacity and budgets."""

    def __init__(
        self, *, capacity: Capacity, budget: Budget, prices: Prices, metrics: Metrics
    ) -> None:
        self._capacity = capacity
        self._budget = budget
        self._prices = prices
        self._metrics = metrics

    @asynccontextmanager
    async def admit(self, client: Client, estimate: Estimate) -> AsyncIterator[Permit]:
        """Hold a place and reserved money while a search runs, and settle when it ends.

        Raises:
            ModelNotAllowed: A budget is set and the model's price is not known.
            Overloaded: No place came free in time.
            BudgetExceeded: The client's or the service's budget does not cover the estimate.
        """
        if estimate.cost is None and self._budget.limited:
            raise ModelNotAllowed(NO_PRICE)
        async with self._capacity.place():
            amount = estimate.cost.total if estimate.cost else NOTHING
            reservation = self._budget.reserve(client.name, amount)
            permit = Permit()
            try:
                yield permit
            finally:
                permit.cost = self._settlement(permit, estimate)
                total = permit.cost.total if permit.cost else NOTHING
                reservation.settle(total)
                self._metrics.spend_cny.labels(client.name).inc(float(total))

    def _settlement(self, permit: Permit, estimate: Estimate) -> Cost | None:
        """What an ended search costs: as reported, else by whether it may have been billed."""
        if permit.usage is not None:
            return self._prices.cost_of(estimate.model, permit.usage)
        if permit.billed == "no":
            return self._prices.cost_of(estimate.model, Usage())
        return self._prices.unreported(estimate, calls=permit.calls, shown_chars=permit.shown_chars)
