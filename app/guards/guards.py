"""All guards of one service, built from its settings."""

import time
from collections.abc import Callable, Iterable

from app.errors import InvalidRequest
from app.guards.admission import Admission
from app.guards.budget import Budget
from app.guards.capacity import Capacity
from app.guards.credentials import Credentials
from app.guards.origins import Origins
from app.guards.ownership import Ownership
from app.guards.prices import Prices
from app.guards.rate import RateLimiter
from app.setting_types import TOOL_FEE
from app.settings import Settings
from app.telemetry import Metrics


class Guards:
    """`clock` gives seconds that never go back, `wall` seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self.credentials = Credentials(settings)
        self.origins = Origins(settings.cors_origins)
        self.rate = RateLimiter(settings.rate, clock=clock)
        self.capacity = Capacity(settings.capacity, settings.capacity_wait_s)
        self.budget = Budget(settings, wall=wall)
        self.prices = Prices(region=settings.dashscope_region, table=settings.price_table)
        self.responses = Ownership(ttl_s=settings.response_owner_ttl_s, clock=clock)
        self.admission = Admission(
            capacity=self.capacity, budget=self.budget, prices=self.prices, metrics=metrics
        )

    def check_tools(self, types: Iterable[str]) -> None:
        """Compare the tools that a caller names with `TOOLS_ALLOWED`.

        Raises:
            InvalidRequest: One of them is not allowed; it is not echoed.
        """
        allowed = self._settings.tools_allowed
        if not set(allowed).issuperset(types):
            names = ", ".join(sorted(allowed)) or "none"
            raise InvalidRequest.of("tools", f"Only these are allowed: {names}.")

    def notes(self) -> list[str]:
        """What an operator should know at start, a sentence each."""
        notes = []
        if self._settings.allow_anonymous:
            notes.append("ALLOW_ANONYMOUS: everybody who can reach this service may search")
        if self.budget.limited:
            notes.append("budgets are kept in memory: per process, and anew at a restart")
            if set(self._settings.tools_allowed) - {TOOL_FEE}:
                notes.append("TOOLS_ALLOWED: only the fee of image_search counts to budgets")
        unpriced = [model for model in self._settings.models if not self.prices.known(model)]
        if unpriced:
            notes.append(f"PRICES: none known for {', '.join(unpriced)}")
        return notes
