import asyncio
import random

import pytest

from app.errors import Overloaded
from app.guards import Capacity
from tests.clock import settle, skip


async def test_places_are_handed_out_up_to_the_limit() -> None:
    capacity = Capacity(2, 0)
    await capacity.take()
    await capacity.take()
    with pytest.raises(Overloaded) as refused:
        await capacity.take()
    assert refused.value.retry_after_s == 1
    capacity.give_back()
    await capacity.take()
    assert capacity.taken == 2


async def test_zero_is_no_limit() -> None:
    capacity = Capacity(0, 0)
    for _ in range(1_000):
        await capacity.take()
    assert capacity.taken == 1_000
    capacity.give_back()
    assert capacity.taken == 999


async def test_who_waits_is_served_first_come_first_served() -> None:
    capacity, served = Capacity(1, 60), []

    async def caller(number: int) -> None:
        await capacity.take()
        served.append(number)
        capacity.give_back()

    await capacity.take()
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(caller(number))
        await settle()
        assert capacity.waiting == 5
        capacity.give_back()
    assert served == [0, 1, 2, 3, 4]
    assert (capacity.taken, capacity.waiting) == (0, 0)


async def test_a_newcomer_does_not_overtake_who_was_handed_a_place() -> None:
    capacity = Capacity(1, 60)
    await capacity.take()
    waiter = asyncio.create_task(capacity.take())
    await settle()
    capacity.give_back()
    newcomer = asyncio.create_task(capacity.take())
    await settle()
    assert waiter.done()
    assert not newcomer.done()
    newcomer.cancel()
    await asyncio.gather(newcomer, return_exceptions=True)
    assert (capacity.taken, capacity.waiting) == (1, 0)


async def test_waiting_ends_when_its_time_is_over() -> None:
    capacity = Capacity(1, 2.5)
    await capacity.take()
    waiter = asyncio.create_task(capacity.take())
    await settle()
    skip(2.4)
    await settle()
    assert not waiter.done()
    skip(0.2)
    with pytest.raises(Overloaded) as refused:
        await waiter
    assert refused.value.retry_after_s == 3
    assert (capacity.taken, capacity.waiting) == (1, 0)


async def test_a_place_that_comes_in_the_turn_of_giving_up_is_passed_on() -> None:
    capacity = Capacity(1, 1)
    await capacity.take()
    late = asyncio.create_task(capacity.take())
    await settle()
    skip(1)
    asyncio.get_running_loop().call_later(0, capacity.give_back)
    with pytest.raises(Overloaded):
        await late
    await settle()
    assert capacity.taken == 0


async def test_a_place_handed_to_a_caller_cancelled_in_the_same_turn_is_not_lost() -> None:
    capacity = Capacity(1, 60)
    await capacity.take()
    waiter = asyncio.create_task(capacity.take())
    await settle()
    capacity.give_back()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert waiter.cancelled()
    assert (capacity.taken, capacity.waiting) == (0, 0)


async def test_a_timer_that_fires_after_the_place_was_handed_over_changes_nothing() -> None:
    capacity = Capacity(1, 1)
    await capacity.take()
    waiter = asyncio.create_task(capacity.take())
    await settle()
    capacity.give_back()
    skip(1)
    await waiter
    assert capacity.taken == 1


async def test_no_place_is_lost_over_ten_thousand_callers_cancelled_at_random() -> None:
    dice, capacity = random.Random(6), Capacity(7, 0.001)
    most = 0

    async def caller() -> None:
        nonlocal most
        await capacity.take()
        try:
            most = max(most, capacity.taken)
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        finally:
            capacity.give_back()

    for _ in range(200):
        tasks = [asyncio.create_task(caller()) for _ in range(50)]
        while pending := [task for task in tasks if not task.done()]:
            dice.choice(pending).cancel()
            if dice.random() < 0.1:
                skip(0.001)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 7
    assert (capacity.taken, capacity.waiting) == (0, 0)
