"""Rates, budgets and ownership of responses over all replicas, in Redis.

While Redis is away, rates are counted here alone, and nothing is admitted where a budget is set.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from app.errors import Overloaded
from app.guards.budget import ALL, NOTHING, Account, Budget, Reservation, Spending, exceeded
from app.guards.ownership import ID_MAX_CHARS, Ownership
from app.guards.prices import Estimate
from app.guards.rate import RateLimiter, RateStatus
from app.models import Client, json_bytes
from app.setting_types import Rate
from app.settings import Settings
from app.store import Away, Claim, Link

AWAY = "Redis, which keeps the budgets, does not answer."
UNITS_PER_CNY = 1_000_000_000
FOREVER_S = 3_153_600_000
EPOCH = date(1970, 1, 1)
MS_PER_S = 1_000


def units(money: Decimal) -> int:
    """Money as Redis has it; never less than it is."""
    return int((money * UNITS_PER_CNY).to_integral_value(ROUND_CEILING))


class SharedRateLimiter(RateLimiter):
    """Counts requests by `Client.rate_limit_key`, over all replicas."""

    def __init__(self, rate: Rate | None, link: Link) -> None:
        super().__init__(rate)
        self._link = link

    async def charge(self, client: Client) -> RateStatus | None:
        """Count one request, unless the bucket is empty; `None` when there is no limit."""
        if self._rate is None:
            return None
        window_ms = self._rate.window_s * MS_PER_S
        args = (client.rate_limit_key, window_ms / self._rate.limit, window_ms)
        try:
            is_allowed, used_ms = await self._link.before_deadline("rate", *args)
        except Away:
            return await super().charge(client)
        used_s = float(used_ms) / MS_PER_S
        return self._status(used_s) if is_allowed else self._refusal(used_s, self._rate)


@dataclass(frozen=True, slots=True)
class SharedReservation(Reservation):
    """Money that is set aside in Redis: its cost goes there with the end of the run."""

    claim: Claim | None = None

    def settle(self, spent: Decimal) -> None:
        """Spend this in place of what was reserved."""
        if self.claim:
            self.claim.cost = units(spent)


class SharedBudget(Budget):
    """Budgets over all replicas; the day is that of Redis' clock."""

    def __init__(self, settings: Settings, link: Link) -> None:
        super().__init__(settings)
        self._link = link

    async def reserve(self, client: str, estimate: Estimate, run_id: str) -> Reservation:
        """Reserve money for a run; see `Budget.reserve`. `Overloaded` if budgets are not known."""
        claim = self._link.claims[run_id]
        amount = units(estimate.amount)
        limits = (units(self._per_client), units(self._total))
        usage = estimate.usage.model_dump()
        known = json_bytes({"model": estimate.model, "usage": usage}).decode()
        try:
            args = (run_id, client, amount, *limits, known)
            verdict, *wait_s = await self._link.script("reserve", *args)
        except Away as exc:
            if self.limited:
                raise Overloaded(AWAY) from exc
            verdict = b"ok"
        if verdict != b"ok":
            raise exceeded(verdict.decode(), wait_s[0])
        claim.reserved, claim.estimate = amount, known
        return SharedReservation(estimate.amount, (), claim)

    async def spending(self, client: str) -> Spending:
        """What `client` has spent today, and may still spend; `Overloaded` if it is not known."""
        try:
            ((seconds, _),) = await self._link.pipeline(("TIME",))
            days = int(seconds) // 86_400
            names = (f"isp:spend:{days}:{name}" for name in (client, ALL))
            fields = ("spent", "reserved", "searches")
            found = await self._link.pipeline(*(("HMGET", name, *fields) for name in names))
        except Away as exc:
            raise Overloaded(AWAY) from exc
        account, total = map(_account, found)
        return self._spending(EPOCH + timedelta(days), account, total)


class SharedOwnership(Ownership):
    """Owners of response ids over all replicas; those that were asked for are known here too."""

    def __init__(self, ttl_s: float, link: Link) -> None:
        super().__init__(ttl_s=ttl_s)
        self._link = link
        self._kept_s = int(ttl_s or FOREVER_S)

    def claim(self, response_id: str, owner: str, *, total_tokens: int) -> None:
        """Note who got a response first, here and in Redis."""
        super().claim(response_id, owner, total_tokens=total_tokens)
        if len(response_id) <= ID_MAX_CHARS:
            key = f"isp:resp:{response_id}"
            self._link.post("HSETNX", key, "owner", owner)
            self._link.post("HSET", key, "tokens", total_tokens)
            self._link.post("EXPIRE", key, self._kept_s)

    async def check(self, response_id: str, owner: str) -> None:
        """Raise `InvalidRequest` if unknown, expired, or another's; `Overloaded` if not known."""
        if len(response_id) <= ID_MAX_CHARS and not self.knows(response_id):
            key = f"isp:resp:{response_id}"
            try:
                (found,) = await self._link.pipeline(("HMGET", key, "owner", "tokens"))
            except Away as exc:
                raise Overloaded(AWAY) from exc
            if found[0] is not None:
                tokens = int(found[1] or 0)
                super().claim(response_id, found[0].decode(), total_tokens=tokens)
        await super().check(response_id, owner)


def _account(found: list[Any]) -> Account:
    spent, reserved, searches = (int(value or 0) for value in found)
    return Account(_money(spent), _money(reserved), searches)


def _money(amount: int) -> Decimal:
    return max(NOTHING, Decimal(amount) / UNITS_PER_CNY)
