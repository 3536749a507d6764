"""All guards of one service, and the admission of a search through them."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import ModelNotAllowed, Overloaded
from app.guards.credentials import Credentials
from app.guards.money import Budget, Estimate, Prices
from app.guards.ownership import Ownership
from app.guards.rate import RateLimiter
from app.models import Client, Permit
from app.settings import Settings
from app.store.redis_client import RedisClient

NO_PRICE = "This model has no known price, and a budget is set here: name its price in PRICES."


class Guards:
    """Who may search, how often, how many at once, and for how much money."""

    def __init__(self, settings: Settings, redis: RedisClient | None) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.capacity or 1_000_000_000)
        self.credentials = Credentials(settings)
        self.prices = Prices(settings)
        self.rate = RateLimiter(settings.rate, redis)
        self.budget = Budget(settings, redis)
        self.responses = Ownership(settings.response_owner_ttl_s, redis)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places, first come, first served; `Overloaded` if none came in time."""
        wait_s = self._settings.capacity_wait_s
        try:
            # Without a wait a free place is still taken: the time-out only ends a wait.
            async with asyncio.timeout(wait_s if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            detail = "All places are taken; try again shortly."
            raise Overloaded(detail, retry_after_s=math.ceil(wait_s)) from None
        try:
            yield
        finally:
            self._places.release()

    @asynccontextmanager
    async def admit(self, client: Client, estimate: Estimate, run_id: str) -> AsyncIterator[Permit]:
        """Hold a place and reserved money while a search runs; its cost is noted in the permit.

        Raises `Overloaded`, `BudgetExceeded`; `ModelNotAllowed` without a price for the budget.
        """
        if estimate.amount is None and self._settings.has_budgets:
            raise ModelNotAllowed(NO_PRICE)
        async with self.place(), self.budget.reserve(client.name, estimate, run_id) as permit:
            yield permit
