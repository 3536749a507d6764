"""What may still be spent today, by each client and by all together. In memory, by UTC day.

A search's estimate is reserved when it is admitted, and its cost replaces that when it ends. Both
belong to the day of admission.
"""

import time
from collections import defaultdict
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

    def settle(self, reserved: Decimal, spent: Decimal) -> None:
        """Spend the second in place of the first, be it more or less."""
        self.reserved -= reserved
        self.spent += spent


class Budget:
    """Budgets in CNY per UTC day; 0 is no limit.

    Nothing is awaited between the look at an account and the reservation, so callers in parallel
    overspend only by what searches cost above their reservations.
    """

    def __init__(self, settings: Settings) -> None:
        self._per_client = settings.budget_client_cny_per_day
        self._total = settings.budget_total_cny_per_day
        self._days: dict[int, defaultdict[str, Account]] = {}

    @property
    def limited(self) -> bool:
        """Whether any budget is set."""
        return bool(self._per_client or self._total)

    def account(self, client: str = ALL) -> Account:
        """The account of a client, or of all together, of today."""
        number = int(time.time() // DAY_S)
        today = self._days.setdefault(number, defaultdict(Account))
        for day in sorted(self._days, key=lambda day: abs(day - number))[DAYS_KEPT:]:
            del self._days[day]
        return today[client]

    def reserve(self, client: str, amount: Decimal) -> list[Account]:
        """Reserve `amount` for `client`, and return the accounts to settle.

        Raises `BudgetExceeded` if a budget is used up; `retry_after_s` is the time to UTC midnight.
        """
        accounts = [self.account(client), self.account()]
        budgets = {"client": self._per_client, "service": self._total}
        for account, (whose, budget) in zip(accounts, budgets.items(), strict=True):
            if 0 < budget < account.spent + account.reserved + amount:
                raise BudgetExceeded(
                    f"This {whose}'s budget for today does not cover this search.",
                    retry_after_s=DAY_S - int(time.time() % DAY_S),
                )
        for account in accounts:
            account.reserved += amount
            account.searches += 1
        return accounts
