"""All guards of one service, and the admission of a search through them.

An admitted search holds a place and reserved money until it ends; then its cost is settled.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import Billed, InvalidRequest, ModelNotAllowed
from app.guards.budget import NOTHING, Budget
from app.guards.capacity import Capacity
from app.guards.credentials import Credentials, Origins
from app.guards.ownership import Ownership
from app.guards.prices import Estimate, Prices
from app.guards.rate import RateLimiter
from app.guards.shared import SharedBudget, SharedOwnership, SharedRateLimiter
from app.models import Client, ResponsesRequest, SearchSpec
from app.results import Cost, Usage
from app.settings import Settings
from app.store import Link
from app.telemetry import Metrics

NO_PRICE = "This model has no known price, and a budget is set here: name its price in PRICES."


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


class Guards:
    """Who may search, how often, how many at once, and for how much money."""

    def __init__(self, settings: Settings, *, metrics: Metrics, link: Link | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self.credentials = Credentials(settings)
        self.origins = Origins(settings.cors_origins)
        rate, ttl_s = settings.rate, settings.response_owner_ttl_s
        self.rate = SharedRateLimiter(rate, link) if link else RateLimiter(rate)
        self.capacity = Capacity(settings.capacity, settings.capacity_wait_s)
        self.budget = SharedBudget(settings, link) if link else Budget(settings)
        self.prices = Prices(settings)
        self.responses = SharedOwnership(ttl_s, link) if link else Ownership(ttl_s=ttl_s)

    def check_tools(self, types: Iterable[str]) -> None:
        """Raise `InvalidRequest` if `TOOLS_ALLOWED` lacks one of these tools; it is not echoed."""
        allowed = self._settings.tools_allowed
        if not set(allowed).issuperset(types):
            names = ", ".join(sorted(allowed)) or "none"
            raise InvalidRequest.of("tools", f"Only these are allowed: {names}.")

    def estimate(self, request: SearchSpec | ResponsesRequest) -> Estimate:
        """What to reserve; a follow-up sends the answer that it follows up again."""
        again = self.responses.total_tokens(request.previous_response_id)
        return self.prices.estimate(
            model=request.model,
            images=request.image_count,
            input_tokens=request.input_chars + again,
            max_output_tokens=request.max_output_tokens,
        )

    @asynccontextmanager
    async def admit(self, client: Client, estimate: Estimate, run_id: str) -> AsyncIterator[Permit]:
        """Hold a place and reserved money while a search runs, and settle when it ends.

        Raises:
            ModelNotAllowed: A budget is set and the model's price is not known.
            Overloaded: No place came free in time.
            BudgetExceeded: The client's or the service's budget does not cover the estimate.
        """
        if estimate.cost is None and self.budget.limited:
            raise ModelNotAllowed(NO_PRICE)
        async with self.capacity.place():
            reservation = await self.budget.reserve(client.name, estimate, run_id)
            permit = Permit()
            try:
                yield permit
            finally:
                permit.cost = self._settlement(permit, estimate)
                spent = permit.cost.total if permit.cost else NOTHING
                reservation.settle(spent)
                self._metrics.spend_cny.labels(client.name).inc(float(spent))

    def _settlement(self, permit: Permit, estimate: Estimate) -> Cost | None:
        """What an ended search costs: as reported, else by whether it may have been billed."""
        if permit.usage is not None:
            return self.prices.cost_of(estimate.model, permit.usage)
        if permit.billed == "no":
            return self.prices.cost_of(estimate.model, Usage())
        return self.prices.unreported(estimate, calls=permit.calls, shown_chars=permit.shown_chars)
