"""What callers may hold of the memory and of the queue while others want some too."""

import asyncio

import pytest

from app.errors import ImageTooLarge, Overloaded
from app.images.memory import MemoryBudget
from app.images.pool import FairQueue
from tests.clock import settle, skip


async def test_a_caller_alone_may_have_all_the_memory_and_beside_others_half() -> None:
    budget = MemoryBudget(100)
    with budget.hold(caller="one") as one, budget.hold(caller="two") as two:
        one.grow(90)
        with pytest.raises(Overloaded) as refusal:
            two.grow(20)
        assert refusal.value.retry_after_s == 1
        with pytest.raises(Overloaded):
            one.grow(1)  # Somebody waits.
        skip(10)
        one.grow(1)
        one.release()
        one.grow(40)
        two.grow(50)
        with pytest.raises(Overloaded):
            two.grow(1)
        with pytest.raises(ImageTooLarge, match="100 bytes"):
            two.grow(60)
        heir = one.derive(30)
    assert budget.used_bytes == 30
    heir.release()
    heir.release()
    assert budget.used_bytes == 0
    with MemoryBudget(0).hold(caller="one") as unlimited:
        unlimited.grow(10**12)


async def test_no_caller_has_more_than_half_of_the_queue() -> None:
    queue: FairQueue[str] = FairQueue(max_waiting=4)
    greedy = [asyncio.create_task(queue.get("greedy", 60)) for _ in range(3)]
    await settle()
    assert [task.done() for task in greedy] == [False, False, True]
    with pytest.raises(Overloaded):
        await greedy.pop()
    others = [asyncio.create_task(queue.get(name, 60)) for name in ("a", "b", "c")]
    await settle()
    with pytest.raises(Overloaded):
        await others.pop()
    for thing in "1234":
        queue.put(thing)
    assert await asyncio.gather(*greedy, *others) == ["1", "4", "2", "3"]
