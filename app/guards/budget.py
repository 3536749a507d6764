"""What may still be spent today, by each client and by all together. In memory, by UTC day.

A search's estimate is set aside when it is admitted, and its charge takes that place when it
ends. Both belong to the day of admission: what was granted yesterday never eats today's budget.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from app.errors import BudgetExceeded

DAY_S = 86_400
NOTHING = Decimal(0)


class _Purse:
    """Money of one client, or of all: what was spent, and what is set aside."""

    __slots__ = ("reserved", "spent")

    def __init__(self) -> None:
        self.spent = NOTHING
        self.reserved = NOTHING

    def holds(self, budget: Decimal) -> bool:
        return not budget or self.spent + self.reserved < budget


class _Day:
    """The books of one UTC day, numbered from 1970-01-01."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.total = _Purse()
        self.clients: defaultdict[str, _Purse] = defaultdict(_Purse)


class Reservation:
    """Money set aside for one search, until it is charged. Charging a second time does nothing."""

    def __init__(self, purses: tuple[_Purse, _Purse], amount: Decimal) -> None:
        self._purses = purses
        self._amount = amount
        self._open = True
        for purse in purses:
            purse.reserved += amount

    def charge(self, amount: Decimal) -> None:
        """Spend `amount` in place of what was set aside, be it more or less."""
        if not self._open:
            return
        self._open = False
        for purse in self._purses:
            purse.reserved -= self._amount
            purse.spent += amount


class Budget:
    """Budgets in CNY per UTC day; 0 switches one off. `wall` gives seconds since 1970, UTC.

    Nothing is awaited between looking and setting aside, so callers in parallel overspend by no
    more than the one reservation that crosses the line (and by what searches cost above theirs).
    """

    def __init__(self, *, per_client: Decimal, total: Decimal, wall: Callable[[], float]) -> None:
        self._per_client = per_client
        self._total = total
        self._wall = wall
        self._day = _Day(0)

    @property
    def limited(self) -> bool:
        """Whether any budget is set."""
        return bool(self._per_client or self._total)

    @property
    def spent(self) -> Decimal:
        """CNY spent today by all."""
        return self._today().total.spent

    @property
    def reserved(self) -> Decimal:
        """CNY set aside today for searches under way."""
        return self._today().total.reserved

    def reserve(self, client: str, amount: Decimal) -> Reservation:
        """Set `amount` aside for `client`.

        Raises:
            BudgetExceeded: A budget is used up; `retry_after_s` is the time to UTC midnight.
        """
        day = self._today()
        purse = day.clients[client]
        if not purse.holds(self._per_client):
            raise self._used_up("This client's budget for today is used up.")
        if not day.total.holds(self._total):
            raise self._used_up("This service's budget for today is used up.")
        return Reservation((purse, day.total), amount)

    def _today(self) -> _Day:
        number = int(self._wall() // DAY_S)
        # A clock set back does not bring an older day's budget back.
        if number > self._day.number:
            self._day = _Day(number)
        return self._day

    def _used_up(self, detail: str) -> BudgetExceeded:
        return BudgetExceeded(detail, retry_after_s=DAY_S - math.floor(self._wall() % DAY_S))
