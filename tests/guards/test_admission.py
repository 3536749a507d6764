"""Places and money together: what is admitted, and that nothing of it leaks."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BudgetExceeded, Overloaded, UpstreamRateLimited
from app.models import Client, Usage
from tests.clock import settle, skip
from tests.guards.setups import BLOG, PRICED, SHOP, Clock, make_guards


async def test_of_500_parallel_searches_a_budget_for_100_admits_at_most_101() -> None:
    wall, searches = Clock(0), 0
    guards = make_guards(wall=wall, budget_total_cny_per_day=Decimal("8.4"))
    estimate = guards.estimate_of(model=PRICED, images=1, max_output_tokens=None)
    gate = asyncio.Event()
    charges: list[Decimal] = []

    async def search(number: int) -> None:
        nonlocal searches
        client = Client(f"client-{number % 7}", "")
        async with guards.admit(client, estimate) as permit:
            searches += 1
            await gate.wait()
            # Dearer than estimated: the sum may cross the budget, the number admitted not.
            permit.settle(Usage(9_000 + 7 * number, 1_999 + number, image_search_calls=1))
            assert permit.cost
            charges.append(permit.cost.total)

    tasks = [asyncio.create_task(search(number)) for number in range(500)]
    await settle()
    gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [end for end in ends if end is not None]
    assert all(isinstance(end, BudgetExceeded) for end in refused)
    assert 100 <= searches <= 101
    assert searches + len(refused) == 500
    assert guards.budget.spent == guards.spend.total == sum(charges)
    assert guards.budget.reserved == 0


async def test_a_search_that_the_budget_refuses_gives_its_place_back() -> None:
    guards = make_guards(capacity=1, budget_client_cny_per_day=Decimal("0.01"))
    estimate = guards.estimate_of(model=PRICED, images=1, max_output_tokens=None)
    async with guards.admit(SHOP, estimate):
        pass
    with pytest.raises(BudgetExceeded):
        async with guards.admit(SHOP, estimate):
            pytest.fail("was admitted")
    assert guards.capacity.taken == 0
    async with guards.admit(BLOG, estimate):
        assert guards.capacity.taken == 1


async def test_no_place_within_the_wait_is_overloaded_and_costs_nothing() -> None:
    guards = make_guards(capacity=1, capacity_wait_s=1)
    estimate = guards.estimate_of(model=PRICED, images=1, max_output_tokens=None)
    async with guards.admit(SHOP, estimate) as permit:
        late = asyncio.create_task(guards.admit(BLOG, estimate).__aenter__())
        await settle()
        skip(1)
        with pytest.raises(Overloaded):
            await late
        permit.settle(Usage())
    assert guards.budget.spent == 0


async def test_a_storm_of_ten_thousand_cancellations_leaks_nothing() -> None:
    dice, clock = random.Random(6), Clock(0)
    guards = make_guards(
        clock=clock,
        capacity=7,
        capacity_wait_s=0.001,
        budget_client_cny_per_day=Decimal(500),
        budget_total_cny_per_day=Decimal(1_000),
    )
    estimate = guards.estimate_of(model=PRICED, images=1, max_output_tokens=None)
    charges: list[Decimal] = []
    cancelled = 0

    async def search(number: int) -> None:
        permit = None
        try:
            async with guards.admit(Client(f"client-{number % 3}", ""), estimate) as permit:
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)
                    permit.note_event()
                if dice.random() < 0.3:
                    raise UpstreamRateLimited("busy")
                if dice.random() < 0.5:
                    permit.settle(Usage(dice.randrange(10_000), dice.randrange(2_000)))
                await asyncio.sleep(0)
        finally:
            if permit is not None and permit.cost:
                charges.append(permit.cost.total)

    while cancelled < 10_000:
        tasks = [asyncio.create_task(search(number)) for number in range(50)]
        while pending := [task for task in tasks if not task.done()]:
            cancelled += dice.choice(pending).cancel()
            if dice.random() < 0.1:
                skip(0.001)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (guards.capacity.taken, guards.capacity.waiting) == (0, 0)
    assert guards.budget.reserved == 0
    assert guards.budget.spent == sum(charges)


USAGES = st.none() | st.builds(
    Usage,
    input_tokens=st.integers(0, 2_000_000),
    output_tokens=st.integers(0, 100_000),
    image_search_calls=st.integers(0, 20),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["open", "event", "call", "settle", "leave", "refuse", "cancel"]),
        USAGES,
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=STEPS, images=st.integers(0, 8), most=st.none() | st.integers(16, 64_000))
async def test_what_is_charged_is_what_is_recorded_and_nothing_stays_set_aside(
    steps: list[tuple[int, str, Usage | None]], images: int, most: int | None
) -> None:
    guards = make_guards(capacity=3, budget_client_cny_per_day=Decimal(4))
    estimate = guards.estimate_of(model=PRICED, images=images, max_output_tokens=most)
    ends = {
        "leave": None,
        "refuse": UpstreamRateLimited("busy"),
        "cancel": asyncio.CancelledError(),
    }
    under_way: dict[int, Any] = {}
    permits = []

    async def leave(number: int, end: BaseException | None) -> None:
        context, _ = under_way.pop(number)
        await context.__aexit__(type(end) if end else None, end, None)

    for number, step, usage in steps:
        if step == "open" and number not in under_way:
            context = guards.admit(SHOP, estimate)
            try:
                permit = await context.__aenter__()
            except (Overloaded, BudgetExceeded):
                continue
            under_way[number] = context, permit
            permits.append(permit)
        elif number in under_way and step in ends:
            try:
                await leave(number, ends[step])
            except (UpstreamRateLimited, asyncio.CancelledError) as exc:
                assert exc is ends[step]  # noqa: PT017 - the block also takes what passes quietly
        elif number in under_way:
            _, permit = under_way[number]
            {"event": permit.note_event, "call": permit.note_call}.get(
                step, lambda permit=permit, usage=usage: permit.settle(usage)
            )()
    for number in list(under_way):
        await leave(number, None)
    assert all(permit.settled for permit in permits)
    assert guards.budget.spent == sum(permit.cost.total for permit in permits if permit.cost)
    assert guards.budget.reserved == 0
    assert guards.capacity.taken == 0
