"""Money: what a search costs, exact and in CNY, and what may still be spent today (UTC).

Discounts for cached input are left out, so a cost can only be too high; fees of other tools than
`image_search` are not known. An estimate is reserved at the admission, and replaced by the cost at
the end; both belong to the day of admission. Accounts are in memory or, with replicas, in Redis.
"""

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel

from app.errors import BudgetExceeded, ServiceError
from app.models import UNITS_PER_CNY, Permit, ResponsesRequest, units
from app.results import ClientUsage, Cost, Usage
from app.settings import VENDOR, Settings, parse_prices
from app.store.redis_client import RedisClient, RedisDown

ESTIMATED_INPUT_TOKENS = 10_000  # A search with its results; documented ones have 2,753 to 8,371.
ESTIMATED_OUTPUT_TOKENS, THINKING_OUTPUT_TOKENS = 2_000, 8_000
THINKS_LONG = "qwen3.8-"  # Models that think at effort `xhigh` unless told otherwise.

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")  # A snapshot costs what its series costs.

DAY_S = 86_400
DAYS_KEPT = 3  # So that a clock that jumps and comes back finds its day as it was.
ALL = ""  # The account of all clients together; no client has this name.


class Estimate(BaseModel, frozen=True):
    """What is reserved for a search: `amount` in CNY, `None` without a price."""

    model: str
    usage: Usage
    amount: Decimal | None = None


class Prices:
    """Prices of the settings' region, with those of `PRICES` over the public ones."""

    def __init__(self, settings: Settings) -> None:
        region, given = settings.dashscope_region, parse_prices(settings.prices)
        public = VENDOR.price_tables.get(region) or parse_prices("")
        factor = settings.cny_per_usd if region in VENDOR.in_usd else Decimal(1)
        self._fee = public.fee if given.fee is None else given.fee
        self._models = {
            model: tuple(tier.times(factor) for tier in tiers)
            for model, tiers in (public.model_extra or {}).items()
        } | (given.model_extra or {})

    def cost_of(self, model: str, usage: Usage, *, estimated: bool = False) -> Cost | None:
        """Cost of an answer, by the tier of all its input; `None` if a price is not known."""
        tiers = self._models.get(model) or self._models.get(SNAPSHOT.sub("", model))
        if self._fee is None or not tiers:
            return None
        fitting = (row for row in tiers if row.up_to is None or usage.input_tokens <= row.up_to)
        tier = next(fitting, tiers[-1])
        tokens = usage.input_tokens * tier.input + usage.output_tokens * tier.output
        tokens, tools = tokens.scaleb(-6), (usage.image_search_calls * self._fee).scaleb(-3)
        return Cost(total=tokens + tools, tokens=tokens, tools=tools, estimated=estimated)

    def estimate(self, request: ResponsesRequest, *, earlier_tokens: int) -> Estimate:
        """What to reserve; `earlier_tokens` are those of the answer that is followed up."""
        thinks = request.model.startswith(THINKS_LONG)
        usual = THINKING_OUTPUT_TOKENS if thinks else ESTIMATED_OUTPUT_TOKENS
        output_tokens = request.max_output_tokens or usual
        input_tokens = ESTIMATED_INPUT_TOKENS + request.input_chars + earlier_tokens
        usage = Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens,
            image_search_calls=max(1, request.image_count),
        )
        cost = self.cost_of(request.model, usage)
        amount = cost.total if cost else None
        return Estimate(model=request.model, usage=usage, amount=amount)

    def unreported(self, estimate: Estimate, seen: tuple[int, int]) -> Cost | None:
        """Cost of an answer without usage, of which so many calls and characters were seen."""
        n_calls, n_chars = seen
        usage = Usage(
            input_tokens=estimate.usage.input_tokens,
            output_tokens=min(estimate.usage.output_tokens, max(ESTIMATED_OUTPUT_TOKENS, n_chars)),
            image_search_calls=max(1, n_calls),
        )
        return self.cost_of(estimate.model, usage, estimated=True)


@dataclass(slots=True)
class Account:
    """Money of one client, or of all, on one day, in units of 1e-9 CNY."""

    spent: int = 0
    reserved: int = 0
    searches: int = 0


class Budget:
    """Budgets in CNY per UTC day, 0 is no limit; over all replicas where there are some."""

    def __init__(self, settings: Settings, redis: RedisClient | None) -> None:
        self._per_client = units(settings.budget_client_cny_per_day)
        self._total = units(settings.budget_total_cny_per_day)
        self._redis = redis
        self._days: dict[int, defaultdict[str, Account]] = {}

    @asynccontextmanager
    async def reserve(self, client: str, estimate: Estimate, run_id: str) -> AsyncIterator[Permit]:
        """Reserve money for a search, and at its end spend what it has cost instead.

        `BudgetExceeded` says how long it is to UTC midnight. Raises `RedisDown` if a budget is set.
        """
        permit = Permit(estimate.model_dump_json(), units(estimate.amount or Decimal(0)))
        if self._redis:  # The run's end is written there, and what it has cost with it.
            await self._reserve_in_redis(self._redis, client, permit, run_id)
            yield permit
            return
        # Nothing is awaited here, so that callers in parallel cannot reserve the same money.
        today = self._today()
        for name, budget in ((client, self._per_client), (ALL, self._total)):
            if 0 < budget < today[name].spent + today[name].reserved + permit.reserved:
                raise exceeded("client" if name else "service", DAY_S - int(time.time() % DAY_S))
        accounts = (today[client], today[ALL])
        for account in accounts:
            account.reserved += permit.reserved
            account.searches += 1
        try:
            yield permit
        finally:
            for account in accounts:
                account.reserved -= permit.reserved
                account.spent += permit.spent

    async def spending(self, client: str) -> ClientUsage:
        """What `client` has spent today, and may still spend; raises `RedisDown`."""
        if self._redis:
            now_s, _ = map(int, await self._redis.call("TIME"))
            names = (f"isp:spend:{now_s // DAY_S}:{name}" for name in (client, ALL))
            fields = ("spent", "reserved", "searches")
            rows = [await self._redis.call("HMGET", name, *fields) for name in names]
            mine, total = (Account(*(max(0, int(value or 0)) for value in row)) for row in rows)
        else:
            now_s, today = int(time.time()), self._today()
            mine, total = today.get(client, Account()), today[ALL]
        limited = ((self._per_client, mine), (self._total, total))
        left = [budget - one.spent - one.reserved for budget, one in limited if budget]
        return ClientUsage(
            day=datetime.fromtimestamp(now_s, UTC).date(),
            spent=cny(mine.spent),
            reserved=cny(mine.reserved),
            budget=cny(self._per_client) if self._per_client else None,
            left=cny(max(0, min(left))) if left else None,
            searches=mine.searches,
        )

    async def _reserve_in_redis(
        self, redis: RedisClient, client: str, permit: Permit, run_id: str
    ) -> None:
        args = (run_id, client, permit.reserved, self._per_client, self._total, permit.estimate)
        try:
            outcome, *wait_s = await redis.script("reserve", *args)
        except RedisDown:
            outcome, wait_s = b"unknown", []
        if outcome == b"unknown" and (self._per_client or self._total):
            raise RedisDown
        if wait_s:
            raise exceeded(outcome.decode(), wait_s[0])

    def _today(self) -> defaultdict[str, Account]:
        number = int(time.time() // DAY_S)
        today = self._days.setdefault(number, defaultdict(Account))
        for day in sorted(self._days, key=lambda day: abs(day - number))[DAYS_KEPT:]:
            del self._days[day]
        return today


def exceeded(whose: str, retry_after_s: int) -> ServiceError:
    detail = f"This {whose}'s budget for today does not cover this search."
    return BudgetExceeded(detail, retry_after_s=retry_after_s)


def cny(amount: int) -> Decimal:
    """An amount in units of 1e-9 CNY, in CNY."""
    return Decimal(amount) / UNITS_PER_CNY
