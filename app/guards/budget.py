"""What may still be spent today, by each client and by all together. In memory, by UTC day.

A search's estimate is reserved when it is admitted, and its cost replaces that when it ends. Both
belong to the day of admission.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from app.errors import BudgetExceeded, ServiceError
from app.guards.prices import Estimate
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

    def left(self, budget: Decimal) -> Decimal | None:
        """What may still be reserved; `None` without a budget."""
        return max(NOTHING, budget - self.spent - self.reserved) if budget else None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that was set aside for one search."""

    amount: Decimal
    accounts: Sequence[Account]

    def settle(self, spent: Decimal) -> None:
        """Spend this in place of what was reserved, be it more or less. Once."""
        for account in self.accounts:
            account.reserved -= self.amount
            account.spent += spent


@dataclass(frozen=True, slots=True)
class Spending:
    """A client's money of today, in CNY. `left` is the less of its own budget and that of all."""

    day: date
    account: Account
    budget: Decimal | None
    left: Decimal | None


def exceeded(whose: str, retry_after_s: int) -> ServiceError:
    """The refusal by a client's budget, or the service's."""
    detail = f"This {whose}'s budget for today does not cover this search."
    return BudgetExceeded(detail, retry_after_s=retry_after_s)


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

    async def reserve(self, client: str, estimate: Estimate, run_id: str) -> Reservation:  # noqa: ARG002 - replicas need it
        """Reserve money for a search of `client`; it is to be settled.

        Raises `BudgetExceeded` if a budget is used up; `retry_after_s` is the time to UTC midnight.
        """
        today, amount = self._today(), estimate.amount
        for name, budget in ((client, self._per_client), (ALL, self._total)):
            left = today[name].left(budget)
            if left is not None and left < amount:
                whose = "client" if name else "service"
                raise exceeded(whose, DAY_S - int(time.time() % DAY_S))
        for account in (accounts := (today[client], today[ALL])):
            account.reserved += amount
            account.searches += 1
        return Reservation(amount, accounts)

    async def spending(self, client: str) -> Spending:
        """What `client` has spent today, and may still spend."""
        today = self._today()
        account = today.get(client, Account())
        return self._spending(datetime.now(UTC).date(), account, today[ALL])

    def _spending(self, day: date, account: Account, total: Account) -> Spending:
        both = account.left(self._per_client), total.left(self._total)
        left = min((one for one in both if one is not None), default=None)
        return Spending(day, account, self._per_client or None, left)

    def _today(self) -> defaultdict[str, Account]:
        number = int(time.time() // DAY_S)
        today = self._days.setdefault(number, defaultdict(Account))
        for day in sorted(self._days, key=lambda day: abs(day - number))[DAYS_KEPT:]:
            del self._days[day]
        return today
