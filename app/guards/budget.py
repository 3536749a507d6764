"""What may still be spent today (UTC), by each client and by all together.

A search's estimate is reserved when it is admitted, and its cost replaces that when it ends. Both
belong to the day of admission. Accounts are kept in memory; where there are replicas, in Redis.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal

from app.errors import BudgetExceeded, ServiceError
from app.guards.prices import Estimate
from app.models import json_bytes
from app.settings import Settings
from app.store import Away, Link

DAY_S = 86_400
UNITS_PER_CNY = 1_000_000_000
DAYS_KEPT = 3  # So that a clock that jumps and comes back finds its day as it was.
NOTHING = Decimal(0)
ALL = ""  # The account of all clients together; no client has this name.

Settle = Callable[[Decimal], None]  # Spends this in place of what was reserved. Called once.


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
    """Budgets in CNY per UTC day; 0 is no limit."""

    def __init__(self, settings: Settings) -> None:
        self._per_client = settings.budget_client_cny_per_day
        self._total = settings.budget_total_cny_per_day
        self.limited = settings.has_budgets
        self._days: dict[int, defaultdict[str, Account]] = {}

    async def reserve(self, client: str, estimate: Estimate, run_id: str) -> Settle:  # noqa: ARG002 - replicas need it
        """Reserve money for a search; `BudgetExceeded` says how long it is to UTC midnight."""
        # Nothing is awaited here, so that callers in parallel cannot reserve the same money.
        today, amount = self._today(), estimate.amount or NOTHING
        for name, budget in ((client, self._per_client), (ALL, self._total)):
            left = today[name].left(budget)
            if left is not None and left < amount:
                whose = "client" if name else "service"
                raise exceeded(whose, DAY_S - int(time.time() % DAY_S))
        for account in (accounts := (today[client], today[ALL])):
            account.reserved += amount
            account.searches += 1

        def settle(spent: Decimal) -> None:
            for account in accounts:
                account.reserved -= amount
                account.spent += spent

        return settle

    async def spending(self, client: str) -> Spending:
        """What `client` has spent today, and may still spend."""
        day, account, total = await self._accounts(client)
        both = account.left(self._per_client), total.left(self._total)
        left = min((one for one in both if one is not None), default=None)
        return Spending(day, account, self._per_client or None, left)

    async def _accounts(self, client: str) -> tuple[date, Account, Account]:
        """Today, the account of a client, and that of all."""
        today = self._today()
        return datetime.now(UTC).date(), today.get(client, Account()), today[ALL]

    def _today(self) -> defaultdict[str, Account]:
        number = int(time.time() // DAY_S)
        today = self._days.setdefault(number, defaultdict(Account))
        for day in sorted(self._days, key=lambda day: abs(day - number))[DAYS_KEPT:]:
            del self._days[day]
        return today


class SharedBudget(Budget):
    """Budgets over all replicas; the day is that of Redis' clock."""

    def __init__(self, settings: Settings, link: Link) -> None:
        super().__init__(settings)
        self._link = link

    async def reserve(self, client: str, estimate: Estimate, run_id: str) -> Settle:
        """Reserve money for a run, whose end settles it; raises `Away` if a budget is set."""
        claim = self._link.claims[run_id]
        amount, limits = units(estimate.amount or NOTHING), (self._per_client, self._total)
        known = {"model": estimate.model, "usage": estimate.usage.model_dump()}
        text = json_bytes(known).decode()
        args = (run_id, client, amount, *map(units, limits), text)
        try:
            verdict, *wait_s = await self._link.script("reserve", *args)
        except Away:
            verdict, wait_s = b"unknown", []
        if verdict == b"unknown" and self.limited:
            raise Away
        if wait_s:
            raise exceeded(verdict.decode(), wait_s[0])
        claim.reserved, claim.estimate = amount, text

        def settle(spent: Decimal) -> None:
            claim.cost = units(spent)

        return settle

    async def _accounts(self, client: str) -> tuple[date, Account, Account]:
        """As Redis has them; raises `Away`."""
        now_s, _ = await self._link.call("TIME")
        names = (f"isp:spend:{int(now_s) // DAY_S}:{name}" for name in (client, ALL))
        fields = ("spent", "reserved", "searches")
        mine, total = [_account(await self._link.call("HMGET", name, *fields)) for name in names]
        return datetime.fromtimestamp(int(now_s), UTC).date(), mine, total


def units(money: Decimal) -> int:
    """Money as Redis has it; never less than it is."""
    return int((money * UNITS_PER_CNY).to_integral_value(ROUND_CEILING))


def _account(row: Iterable[bytes | None]) -> Account:
    spent, reserved, searches = (max(0, int(value or 0)) for value in row)
    return Account(Decimal(spent) / UNITS_PER_CNY, Decimal(reserved) / UNITS_PER_CNY, searches)
