"""Who may search, how often, how many at once and for how much. Knows nothing of HTTP."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from app.errors import FieldError, Forbidden, InvalidRequest, ModelNotAllowed, Unauthorized
from app.guards.budget import NOTHING, Budget
from app.guards.capacity import Capacity
from app.guards.counters import Counters, RateStatus
from app.guards.identity import Identity, anonymous
from app.guards.ownership import Ownership
from app.guards.permit import Permit
from app.guards.prices import IMAGE_SEARCH, Estimate, Prices
from app.guards.settings import GuardSettings
from app.guards.spend import Spend
from app.guards.tokens import NotHonoured, Token, Tokens
from app.models import Client, SearchSpec
from app.telemetry import Metrics

KEY_IN_URL = (
    "A client key must not stand in a URL, as those are logged: only a browser token may, and "
    "POST /tokens makes one."
)


class Guards:
    """The guards of one service. `clock` never goes back; `wall` is seconds since 1970, UTC."""

    def __init__(
        self,
        settings: GuardSettings,
        *,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._keys = settings.client_keys
        self._tokens = Tokens(settings.token_secrets, ttl_s=settings.token_ttl_s, wall=wall)
        self._counters = Counters(settings.rate, clock=clock) if settings.rate else None
        self.origins = settings.origins
        self.responses = Ownership(ttl_s=settings.response_owner_ttl_s, clock=clock)
        self.capacity = Capacity(settings.capacity, settings.capacity_wait_s)
        self.prices = Prices(region=settings.region, given=settings.prices)
        self.budget = Budget(
            per_client=settings.budget_client_cny, total=settings.budget_total_cny, wall=wall
        )
        self.spend = Spend(metrics.spend_cny)

    @property
    def mints(self) -> bool:
        """Whether browser tokens can be had here."""
        return bool(self._settings.token_secrets)

    def identify(
        self, *, bearer: str | None, token: str | None, address: str, origin: str | None
    ) -> Identity:
        """Tell who asks.

        Args:
            bearer: The Authorization credential, a client key or a browser token; empty when it
                was there in another form; `None` when there was none.
            token: A browser token from the URL. A client key is refused there, as URLs are logged.
            address: The caller's, which meters anonymous callers.
            origin: The page that asks, where a browser tells.

        Raises:
            Unauthorized: No credential where one is needed, or one that is not valid.
            OriginNotAllowed: The token is bound to another origin.
        """
        if bearer is not None:
            try:
                return self._key_holder(bearer) or self._tokens.holder(bearer, origin=origin)
            except NotHonoured as exc:
                if not self._ignores_strangers:
                    exc.log()
                    raise Unauthorized("The key or token is not valid, or has expired.") from exc
        if token is not None:
            if self._key_holder(token):
                raise Unauthorized(KEY_IN_URL)
            try:
                return self._tokens.holder(token, origin=origin)
            except NotHonoured as exc:
                exc.log()
                raise Unauthorized("The token in the URL is not valid, or has expired.") from exc
        if self._settings.allow_anonymous:
            return anonymous(address)
        raise Unauthorized("A client key or a browser token is needed.")

    def identify_key_holder(self, bearer: str | None) -> Identity:
        """Tell who asks, where only a client key will do.

        Raises:
            Unauthorized: No credential, or one that is not valid.
            Forbidden: A valid browser token.
        """
        if bearer is None:
            raise Unauthorized("A client key is needed.")
        if shown := self._key_holder(bearer):
            return shown
        if self._tokens.valid(bearer):
            raise Forbidden("A browser token cannot do this; a client key is needed.")
        raise Unauthorized("The key is not valid.")

    def mint(self, client: Client, *, origin: str | None, ttl_s: int | None) -> Token:
        """Make a browser token that acts for `client`.

        Args:
            client: Who answers for what the token is used for.
            origin: The only pages that may use it, as a browser writes an origin; `None`: any.
            ttl_s: Seconds it is good for; `None`: as long as the settings allow.

        Raises:
            RouteNotFound: No secret is set, so there are no tokens here.
            InvalidRequest: The origin is none, or the time is not within the settings' bound.
        """
        return self._tokens.mint(client.name, origin=origin, ttl_s=ttl_s)

    def charge(self, client: Client) -> RateStatus | None:
        """Count one request of `client`; `None` when there is no limit.

        Raises:
            RateLimited: It asks too often; `retry_after_s` says when it may again.
        """
        return self._counters.hit(client.meter) if self._counters else None

    def rate_of(self, client: Client) -> RateStatus | None:
        """What `charge` would go by, without counting: for the answer to a refused request."""
        return self._counters.look(client.meter) if self._counters else None

    def check_tools(self, types: Iterable[str]) -> None:
        """Hold a caller's own list of tools against `TOOLS_ALLOWED`.

        Raises:
            InvalidRequest: One of them is not allowed; it is not echoed.
        """
        if not self._settings.tools_allowed.issuperset(types):
            allowed = ", ".join(sorted(self._settings.tools_allowed))
            refused = FieldError("tools", f"only these are allowed: {allowed or 'none'}")
            raise InvalidRequest("A tool is not allowed here.", fields=[refused])

    def estimate(self, spec: SearchSpec) -> Estimate:
        """What to set aside for a search; as `estimate_of`."""
        return self.estimate_of(
            model=spec.model, images=len(spec.images), max_output_tokens=spec.max_output_tokens
        )

    def estimate_of(self, *, model: str, images: int, max_output_tokens: int | None) -> Estimate:
        """What to set aside for an answer of `model` to so many images.

        Raises:
            ModelNotAllowed: A budget is set and the model's price is not known.
        """
        estimate = self.prices.estimate(
            model=model, images=images, max_output_tokens=max_output_tokens
        )
        if estimate.cost is None and self.budget.limited:
            raise ModelNotAllowed("This model has no known price, and spending is limited here.")
        return estimate

    @asynccontextmanager
    async def admit(self, client: Client, estimate: Estimate) -> AsyncIterator[Permit]:
        """Hold a place and the estimate's money while a search runs; charge it when it ends.

        Raises:
            Overloaded: No place came free in time.
            BudgetExceeded: The client's or the service's budget is used up.
        """
        await self.capacity.take()
        try:
            amount = estimate.cost.total if estimate.cost else NOTHING
            permit = Permit(
                estimate=estimate,
                reservation=self.budget.reserve(client.name, amount),
                prices=self.prices,
                spend=self.spend,
            )
            try:
                yield permit
            except BaseException as exc:
                permit.close(exc)
                raise
            permit.close(None)
        finally:
            self.capacity.give_back()

    def notes(self) -> list[str]:
        """What an operator should know at start, a sentence each."""
        found = []
        if self._settings.allow_anonymous:
            found.append("ALLOW_ANONYMOUS: everybody who can reach this service may search")
        if self.budget.limited:
            found.append("budgets are kept in memory: per process, and anew at a restart")
            if self._settings.tools_allowed - {IMAGE_SEARCH}:
                found.append("TOOLS_ALLOWED: only the fee of image_search counts to budgets")
        if not self.prices.known:
            found.append("PRICES: none are known for this region, so costs are not told")
        return found

    def _key_holder(self, bearer: str) -> Identity | None:
        name = self._keys.find(bearer)
        return Identity(name, f"key:{name}", "key") if name is not None else None

    @property
    def _ignores_strangers(self) -> bool:
        """SDKs always send some key, so where none exists and none is needed, it says nothing."""
        return self._settings.allow_anonymous and not self._keys.any
