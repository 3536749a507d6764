import random

import pytest

from app.errors import RateLimited
from app.guards.counters import Counters, Rate, RateStatus, parse_rate
from tests.guards.setups import Clock


def passes(counters: Counters, meter: str = "key:shop") -> bool:
    try:
        counters.hit(meter)
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", Rate(60, 60)),
        (" 5 / second ", Rate(5, 1)),
        ("1000/hour", Rate(1_000, 3_600)),
        ("7/day", Rate(7, 86_400)),
        ("0", None),
        ("0/minute", None),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "60", "60/week", "-1/minute", "1.5/second", "many/minute"])
def test_what_is_no_rate_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^RATE_LIMIT: must be such as 60/minute"):
        parse_rate(text)


@pytest.mark.parametrize("pause_s", [0.006, 0.06, 0.3, 0.6, 1.0, 1.7])
def test_the_rate_holds_within_one_percent_over_ten_thousand_requests(pause_s: float) -> None:
    clock = Clock(0)
    counters = Counters(Rate(60, 60), clock=clock)
    granted = 0
    for _ in range(10_000):
        granted += passes(counters)
        clock.now += pause_s
    assert granted == pytest.approx(min(10_000, 10_000 * pause_s), rel=0.01)


def test_never_more_than_the_limit_pass_in_any_window() -> None:
    dice, clock = random.Random(6), Clock(0)
    counters = Counters(Rate(60, 60), clock=clock)
    granted = []
    for _ in range(10_000):
        clock.now += dice.choice([0, 0.001, 0.02, 0.5, 1, 9])
        if passes(counters):
            granted.append(clock.now)
    for first, later in zip(granted, granted[60:], strict=False):
        assert later - first >= 60


def test_who_keeps_to_the_limit_in_bursts_is_never_refused() -> None:
    clock = Clock(0)
    counters = Counters(Rate(60, 60), clock=clock)
    for _ in range(100):
        assert all(passes(counters) for _ in range(60))
        assert not passes(counters)
        clock.now += 60


def test_a_high_limit_keeps_few_marks_and_errs_by_little() -> None:
    clock = Clock(0)
    counters = Counters(Rate(5_000, 60), clock=clock)
    granted = 0
    for _ in range(100_000):
        granted += passes(counters)
        clock.now += 0.006
    assert granted == pytest.approx(50_000, rel=0.01)
    assert counters._marks <= 1_001


def test_what_is_left_and_when_more_comes_is_told() -> None:
    clock = Clock(0)
    counters = Counters(Rate(2, 60), clock=clock)
    assert counters.look("a") == RateStatus(2, 60, 2, 0)
    assert counters.hit("a") == RateStatus(2, 60, 1, 60)
    clock.now = 10.5
    status = counters.hit("a")
    assert status == RateStatus(2, 60, 0, 50)
    assert status.policy_field == '"default";q=2;w=60'
    assert status.limit_field == '"default";r=0;t=50'
    with pytest.raises(RateLimited) as refused:
        counters.hit("a")
    assert refused.value.retry_after_s == 50
    assert counters.look("a").remaining == 0
    clock.now = 60
    assert counters.hit("a").remaining == 0


def test_meters_do_not_know_one_another() -> None:
    counters = Counters(Rate(1, 60), clock=Clock(0))
    assert passes(counters, "a")
    assert passes(counters, "b")
    assert not passes(counters, "a")


def test_meters_that_are_over_are_forgotten() -> None:
    clock = Clock(0)
    counters = Counters(Rate(3, 60), clock=clock)
    for number in range(1_000):
        counters.hit(f"address:{number}")
        clock.now += 1
    assert counters.meters == 60


def test_memory_is_bounded_whatever_the_number_of_callers() -> None:
    clock = Clock(0)
    counters = Counters(Rate(3, 86_400), clock=clock, marks_max=100)
    for number in range(10_000):
        counters.hit(f"address:{number}")
        assert counters.meters <= 100
    assert "address:9999" in counters._meters
    assert "address:9899" not in counters._meters
