"""What is charged for a search, whichever way it ends."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from app.errors import (
    Internal,
    ServiceError,
    UpstreamInterrupted,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.guards import Guards, Permit
from app.models import ImageInput, SearchSpec, Usage
from tests.guards.setups import PRICED, SHOP, UNPRICED, make_guards

TOLD = Usage(input_tokens=2_753, output_tokens=181, total_tokens=2_934, image_search_calls=1)

ONE_IMAGE = SearchSpec(images=(ImageInput(b"https://a.example/", "d"),), prompt="p", model=PRICED)

Ending = Callable[[Permit], None]


def seen(permit: Permit, *, calls: int = 0) -> None:
    permit.note_event()
    for _ in range(calls):
        permit.note_call()


def settled(usage: Usage | None, *, calls: int = 0) -> Ending:
    def end(permit: Permit) -> None:
        seen(permit, calls=calls)
        permit.settle(usage)

    return end


def broken(error: BaseException, *, calls: int | None = None) -> Ending:
    def end(permit: Permit) -> None:
        if calls is not None:
            seen(permit, calls=calls)
        raise error

    return end


REFUSED = UpstreamRateLimited("busy")

ENDINGS: dict[str, tuple[Ending, str]] = {
    "completed": (settled(TOLD, calls=1), "0.054954"),
    "completed without a tool call": (settled(Usage(input_tokens=1_000)), "0.002"),
    "completed with two tool calls": (
        settled(Usage(input_tokens=1_000, image_search_calls=2), calls=2),
        "0.098",
    ),
    "calls told differ from those seen": (settled(Usage(image_search_calls=3), calls=1), "0.144"),
    "calls not told": (settled(Usage(input_tokens=1_000), calls=2), "0.098"),
    "usage not told": (settled(None, calls=2), "0.132"),
    "usage not told, no call seen": (settled(None), "0.084"),
    "usage told of nothing": (settled(Usage()), "0"),
    "failed at the end with its usage": (settled(TOLD), "0.054954"),
    "refused before any event": (broken(REFUSED), "0"),
    "unreachable": (broken(UpstreamUnavailable("refused")), "0"),
    "cut before any event": (broken(UpstreamInterrupted("reset")), "0.084"),
    "no event in time": (broken(UpstreamTimeout("first event")), "0.084"),
    "failed after events": (broken(REFUSED, calls=0), "0.084"),
    "cut after events": (broken(UpstreamInterrupted("reset"), calls=0), "0.084"),
    "cut after a call": (broken(UpstreamInterrupted("reset"), calls=1), "0.084"),
    "cut after two calls": (broken(UpstreamInterrupted("reset"), calls=2), "0.132"),
    "a bug here": (broken(Internal("bug")), "0.084"),
    "a bug that nobody mapped": (broken(KeyError("type"), calls=2), "0.132"),
    "cancelled before any event": (broken(asyncio.CancelledError()), "0.084"),
    "cancelled after two calls": (broken(asyncio.CancelledError(), calls=2), "0.132"),
    "closed by its reader": (broken(GeneratorExit(), calls=1), "0.084"),
    "left without a word": (lambda _: None, "0.084"),
}


async def run(guards: Guards, end: Ending, *, model: str = PRICED) -> Permit:
    """One search that ends so; errors are its own, not the test's."""
    estimate = guards.estimate_of(model=model, images=1, max_output_tokens=None)
    permit: Permit | None = None
    try:
        async with guards.admit(SHOP, estimate) as permit:
            end(permit)
    except (ServiceError, KeyError, asyncio.CancelledError, GeneratorExit):
        pass
    assert permit
    return permit


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_search_is_charged_by_how_it_ended(ending: str) -> None:
    end, price = ENDINGS[ending]
    guards = make_guards(capacity=1, budget_total_cny_per_day=Decimal(1))
    permit = await run(guards, end)
    assert permit.settled
    assert permit.cost
    assert permit.cost.total == Decimal(price)
    assert guards.budget.spent == Decimal(price)
    assert guards.budget.reserved == 0
    assert guards.capacity.taken == 0
    assert guards.spend.total == Decimal(price)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_without_a_price_nothing_is_guessed_and_nothing_lost(ending: str) -> None:
    guards = make_guards(capacity=1)
    permit = await run(guards, ENDINGS[ending][0], model=UNPRICED)
    assert permit.settled
    assert permit.cost is None
    assert guards.budget.spent == guards.budget.reserved == guards.capacity.taken == 0


async def test_the_cost_is_known_as_soon_as_it_is_settled_and_does_not_change() -> None:
    guards = make_guards()
    async with guards.admit(SHOP, guards.estimate(ONE_IMAGE)) as permit:
        assert (permit.settled, permit.cost) == (False, None)
        assert guards.budget.reserved == Decimal("0.084")
        permit.settle(TOLD)
        assert permit.cost
        permit.note_call()
        permit.settle(None)
        assert guards.budget.spent == permit.cost.total
        assert guards.budget.reserved == 0
    assert permit.cost.total == guards.budget.spent == Decimal("0.054954")
