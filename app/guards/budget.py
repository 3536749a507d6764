"""What may still be spent today, by each client and by all together. In memory, by UTC day.

A search's estimate is reserved when it is admitted, and its cost replaces that when it ends. Both
belong to the day of admission.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from app.errors import BudgetExceeded
from app.settings import Settings

DAY_S = 86_400
DAYS_KEPT = 3
"""So that a clock that jumps and comes back finds its day as it was."""

NOTHING = Decimal(0)
ALL = ""
"""The account of all clients together; no client has this name."""


@dataclass(slots=True)
class Account:
    """Money of one client, or of all, on one day, in CNY."""

    spent: Decimal = NOTHING
    reserved: Decimal = NOTHING
    searches: int = 0

    def allows(self, amount: Decimal, *, budget: Decimal) -> bool:
        """Whether `amount` more stays within the budget; 0 is no limit."""
        return not budget or self.spent + self.reserved + amount <= budget


class Reservation:
    """Money reserved for one search, until it is settled. Settling again does nothing."""

    def __init__(self, accounts: tuple[Account, ...], amount: Decimal) -> None:
        self._accounts = accounts
        self._amount = amount
        for account in accounts:
            account.reserved += amount
            account.searches += 1

    def settle(self, cost: Decimal) -> None:
        """Spend `cost` in place of what was reserved, be it more or less."""
        for account in self._accounts:
            account.reserved -= self._amount
            account.spent += cost
        self._accounts = ()


class Budget:
    """Budgets in CNY per UTC day; 0 is no limit. `wall` gives seconds since 1970.

    Nothing is awaited between the look at an account and the reservation, so callers in parallel
    overspend only by what searches cost above their reservations.
    """

    def __init__(self, settings: Settings, *, wall: Callable[[], float] = time.time) -> None:
        self._per_client = settings.budget_client_cny_per_day
        self._total = settings.budget_total_cny_per_day
        self._wall = wall
        self._days: defaultdict[int, defaultdict[str, Account]] = defaultdict(_new_day)

    @property
    def limited(self) -> bool:
        """Whether any budget is set."""
        return bool(self._per_client or self._total)

    def account(self, client: str = ALL) -> Account:
        """The account of a client, or of all together, of today."""
        number = int(self._wall() // DAY_S)
        today = self._days[number]
        for day in sorted(self._days, key=lambda day: abs(day - number))[DAYS_KEPT:]:
            del self._days[day]
        return today[client]

    def reserve(self, client: str, amount: Decimal) -> Reservation:
        """Reserve `amount` for `client`.

        Raises:
            BudgetExceeded: A budget is used up; `retry_after_s` is the time to UTC midnight.
        """
        own, total = self.account(client), self.account()
        if not own.allows(amount, budget=self._per_client):
            raise self._used_up("This client's budget for today does not cover this search.")
        if not total.allows(amount, budget=self._total):
            raise self._used_up("This service's budget for today does not cover this search.")
        return Reservation((own, total), amount)

    def _used_up(self, detail: str) -> BudgetExceeded:
        return BudgetExceeded(detail, retry_after_s=DAY_S - int(self._wall() % DAY_S))


def _new_day() -> defaultdict[str, Account]:
    return defaultdict(Account)
