"""The leave to run one search, and how its price is found when it ends."""

from dataclasses import replace

from app.errors import ServiceError
from app.guards.budget import NOTHING, Reservation
from app.guards.prices import Estimate, Prices
from app.guards.spend import Spend
from app.models import Cost, Usage


class Permit:
    """One admitted search. Its run tells what it sees, and the charge follows from that.

    - usage told: its tokens and its tool calls, or the calls seen where the count is missing;
    - usage not told, or cut short: the fee for each call seen, at least one, and the estimate's
      tokens, since the upstream may have billed it;
    - refused before any event, by an error that says nothing can have been billed: nothing.
    """

    __slots__ = (
        *("_estimate", "_reservation", "_prices", "_spend"),
        *("events", "_calls", "_settled", "_cost"),
    )

    def __init__(
        self,
        *,
        estimate: Estimate,
        reservation: Reservation,
        prices: Prices,
        spend: Spend,
    ) -> None:
        self._estimate = estimate
        self._reservation = reservation
        self._prices = prices
        self._spend = spend
        self.events = False
        """Whether the upstream has sent anything."""
        self._calls = 0
        self._settled = False
        self._cost: Cost | None = None

    @property
    def settled(self) -> bool:
        """Whether the charge is made."""
        return self._settled

    @property
    def cost(self) -> Cost | None:
        """What was charged; `None` before that, and where a price is not known."""
        return self._cost

    def note_event(self) -> None:
        """The upstream sent an event: from here on it may have billed."""
        self.events = True

    def note_call(self) -> None:
        """The upstream ended one call of the tool."""
        self._calls += 1

    def settle(self, usage: Usage | None) -> None:
        """Charge at the end of an answer. `Usage()` without counts, and no call seen, is free.

        Only the first settlement counts. `None`: the upstream did not tell what it used.
        """
        if usage is None:
            self._charge(self._prices.cut_short(self._estimate, self._calls))
            return
        calls = usage.image_search_calls or self._calls
        told = replace(usage, image_search_calls=calls)
        self._charge(self._prices.cost_of(self._estimate.model, told))

    def close(self, error: BaseException | None) -> None:
        """Charge a search that ends unsettled, by `error` or without one."""
        refused = isinstance(error, ServiceError) and not error.may_be_billed
        if refused and not self.events:
            self._charge(self._prices.cost_of(self._estimate.model, Usage()))
        else:
            self.settle(None)

    def _charge(self, cost: Cost | None) -> None:
        if self._settled:
            return
        self._settled = True
        self._cost = cost
        amount = cost.total if cost else NOTHING
        self._reservation.charge(amount)
        self._spend.add(amount)
