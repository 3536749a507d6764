"""The guards' knobs, and how the environment's texts become them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from app.guards.budget import NOTHING
from app.guards.counters import Rate, parse_rate
from app.guards.keys import ClientKeys, parse_client_keys
from app.guards.origins import Origins, parse_origins
from app.guards.prices import IMAGE_SEARCH, PriceList, parse_prices
from app.guards.tokens import parse_token_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """The guards' knobs, parsed; 0 and `None` switch a limit off. `read` takes them as written."""

    client_keys: ClientKeys = field(default_factory=ClientKeys, repr=False)
    token_secrets: tuple[str, ...] = field(default=(), repr=False)
    token_ttl_s: int = 900
    allow_anonymous: bool = False
    origins: Origins = field(default_factory=Origins, repr=False)
    response_owner_ttl_s: float = 0
    rate: Rate | None = None
    capacity: int = 0
    capacity_wait_s: float = 0
    budget_client_cny: Decimal = NOTHING
    budget_total_cny: Decimal = NOTHING
    prices: PriceList | None = None
    region: str = "cn-beijing"
    tools_allowed: frozenset[str] = frozenset({IMAGE_SEARCH})

    @classmethod
    def read(
        cls,
        *,
        client_keys: str = "",
        client_token_secret: str = "",
        client_token_ttl_s: int = 900,
        allow_anonymous: bool = False,
        cors_origins: Iterable[str] = (),
        response_owner_ttl_s: float = 0,
        rate_limit: str = "0",
        capacity: int = 0,
        capacity_wait_s: float = 0,
        budget_client_cny_per_day: Decimal = NOTHING,
        budget_total_cny_per_day: Decimal = NOTHING,
        prices: str = "",
        region: str = "cn-beijing",
        tools_allowed: Iterable[str] = (IMAGE_SEARCH,),
    ) -> Self:
        """Parse the settings that are texts.

        Raises:
            ValueError: With one sentence that begins with the variable's name and holds no secret.
        """
        return cls(
            client_keys=parse_client_keys(client_keys),
            token_secrets=parse_token_secrets(client_token_secret),
            token_ttl_s=client_token_ttl_s,
            allow_anonymous=allow_anonymous,
            origins=parse_origins(cors_origins),
            response_owner_ttl_s=response_owner_ttl_s,
            rate=parse_rate(rate_limit),
            capacity=capacity,
            capacity_wait_s=capacity_wait_s,
            budget_client_cny=budget_client_cny_per_day,
            budget_total_cny=budget_total_cny_per_day,
            prices=parse_prices(prices),
            region=region,
            tools_allowed=frozenset(tools_allowed),
        )
