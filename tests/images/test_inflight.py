"""The budget of bytes that bodies and decoders share."""

import pytest

from app.errors import ImageTooLarge, Overloaded
from app.images import Inflight


def test_a_share_grows_and_is_given_back() -> None:
    budget = Inflight(100)
    with budget.hold() as held:
        held.grow(40)
        held.grow(60)
        assert budget.used_bytes == held.bytes == 100
        held.shrink(30)
        assert budget.used_bytes == held.bytes == 70
    assert budget.used_bytes == 0


def test_it_is_given_back_when_the_holder_fails() -> None:
    budget = Inflight(100)
    with pytest.raises(ImageTooLarge), budget.hold() as held:  # noqa: PT012 -- the block is the case
        held.grow(10)
        held.grow(100)
    assert budget.used_bytes == 0


def test_what_does_not_fit_now_may_be_tried_again() -> None:
    budget = Inflight(100)
    with budget.hold() as one, budget.hold() as other:
        one.grow(60)
        with pytest.raises(Overloaded) as refusal:
            other.grow(41)
        assert refusal.value.retryable
        assert refusal.value.retry_after_s == 1
        assert budget.used_bytes == 60


def test_what_never_fits_is_too_large() -> None:
    budget = Inflight(100)
    with budget.hold() as held:
        held.grow(60)
        with pytest.raises(ImageTooLarge, match="100 bytes"):
            held.grow(41)


def test_zero_only_counts() -> None:
    budget = Inflight(0)
    with budget.hold() as held:
        held.grow(10**12)
        assert held.fits(10**12)
        assert budget.used_bytes == 10**12


def test_a_share_that_is_handed_over_outlives_its_first_holder() -> None:
    budget = Inflight(100)
    with budget.hold() as held:
        held.grow(60)
        heir = held.hand_over(80)
        assert budget.used_bytes == 140
    assert budget.used_bytes == 80
    with budget.hold() as other, pytest.raises(Overloaded):
        other.grow(21)
    heir.release()
    heir.release()
    assert budget.used_bytes == 0
