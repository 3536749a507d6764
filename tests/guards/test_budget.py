from decimal import Decimal

import pytest

from app.errors import BudgetExceeded
from app.guards.budget import DAY_S, Budget
from tests.guards.setups import Clock

ONE = Decimal(1)


def budget(wall: Clock, *, per_client: int = 0, total: int = 0) -> Budget:
    return Budget(per_client=Decimal(per_client), total=Decimal(total), wall=wall)


def test_what_is_set_aside_counts_as_spent_until_the_charge_replaces_it(wall: Clock) -> None:
    purse = budget(wall, per_client=2)
    first, second = purse.reserve("shop", ONE), purse.reserve("shop", ONE)
    with pytest.raises(BudgetExceeded):
        purse.reserve("shop", ONE)
    first.charge(Decimal("0.25"))
    assert purse.spent == Decimal("0.25")
    assert purse.reserved == ONE
    purse.reserve("shop", ONE).charge(Decimal("0.5"))
    second.charge(Decimal("7.000000001"))
    assert purse.spent == Decimal("7.750000001")
    assert purse.reserved == 0
    with pytest.raises(BudgetExceeded):
        purse.reserve("shop", ONE)


def test_the_last_reservation_may_cross_the_line_but_none_after_it(wall: Clock) -> None:
    purse = budget(wall, per_client=1)
    purse.reserve("shop", Decimal("0.99"))
    purse.reserve("shop", Decimal(5))
    with pytest.raises(BudgetExceeded):
        purse.reserve("shop", Decimal(0))


def test_clients_have_budgets_of_their_own_and_one_for_all(wall: Clock) -> None:
    purse = budget(wall, per_client=2, total=3)
    for client in ("shop", "shop", "blog"):
        purse.reserve(client, ONE)
    with pytest.raises(BudgetExceeded, match="client's budget"):
        purse.reserve("shop", ONE)
    with pytest.raises(BudgetExceeded, match="service's budget"):
        purse.reserve("blog", ONE)


def test_zero_is_no_budget_but_spending_is_still_known(wall: Clock) -> None:
    purse = budget(wall)
    for _ in range(1_000):
        purse.reserve("shop", ONE).charge(Decimal("0.1"))
    assert purse.spent == 100
    assert not purse.limited
    assert budget(wall, per_client=1).limited
    assert budget(wall, total=1).limited


def test_a_reservation_is_charged_once(wall: Clock) -> None:
    purse = budget(wall)
    reservation = purse.reserve("shop", ONE)
    reservation.charge(ONE)
    reservation.charge(ONE)
    assert purse.spent == 1
    assert purse.reserved == 0


@pytest.mark.parametrize(
    ("seconds_into_day", "retry_after_s"),
    [(0, 86_400), (0.5, 86_400), (43_200, 43_200), (86_398.5, 2), (86_399.5, 1)],
)
def test_a_used_up_budget_says_when_utc_midnight_is(
    seconds_into_day: float, retry_after_s: int
) -> None:
    purse = budget(Clock(20_000 * DAY_S + seconds_into_day), total=1)
    purse.reserve("shop", ONE)
    with pytest.raises(BudgetExceeded) as refused:
        purse.reserve("blog", ONE)
    assert refused.value.retry_after_s == retry_after_s


def test_a_new_day_begins_afresh_and_searches_under_way_stay_in_theirs(wall: Clock) -> None:
    purse = budget(wall, per_client=2, total=2)
    purse.reserve("shop", ONE).charge(ONE)
    over_midnight = purse.reserve("shop", ONE)
    wall.now += DAY_S / 2
    assert purse.spent == 0
    assert purse.reserved == 0
    today = [purse.reserve("shop", ONE), purse.reserve("shop", ONE)]
    over_midnight.charge(Decimal(9))
    assert purse.spent == 0
    assert purse.reserved == 2
    for reservation in today:
        reservation.charge(ONE)
    assert purse.spent == 2
    assert purse.reserved == 0


def test_a_clock_set_back_does_not_give_a_day_twice(wall: Clock) -> None:
    purse = budget(wall, total=1)
    purse.reserve("shop", ONE)
    wall.now -= DAY_S
    with pytest.raises(BudgetExceeded):
        purse.reserve("shop", ONE)
