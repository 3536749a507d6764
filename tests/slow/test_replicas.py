"""Replicas for longer: Redis gone for 20 s with its data kept, a thousand cuts, a failover."""

import asyncio

import pytest

from tests.e2e.replicas.test_faults import (
    PACED,
    both_up,
    followed,
    is_cancelled,
    nothing_is_reserved,
    stopped_for_long,
)
from tests.e2e.replicas.test_three import cut_and_followed
from tests.e2e.replicas.three import TERMINAL, three
from tests.redis_server import redis_server
from tests.waiting import eventually

SEARCHES = 300  # Each is cut three or four times: a thousand cuts in all.
AT_ONCE = 20


async def test_nobody_is_judged_because_redis_was_gone_for_longer_than_a_lease() -> None:
    """Twice: each time all leases have ended when it is back."""
    async with asyncio.timeout(115), three(count=2, knobs=PACED) as replicas:
        owner, other = replicas.replicas
        search_id = await owner.start("[sim endless]")
        await owner.follow(search_id, most=60)
        reading = [asyncio.create_task(followed(one, search_id)) for one in (owner, other)]
        await other.follow(search_id, most=60)
        for _ in range(2):
            await stopped_for_long(replicas.redis)
            await eventually(lambda: both_up(replicas))
        await eventually(lambda: is_cancelled(other, search_id), within_s=60)
        (here, longest_s), (there, _) = await asyncio.gather(*reading)
        assert here == there
        assert [one.event for one in here if one.event in TERMINAL] == ["search.cancelled"]
        assert longest_s < 5
        await eventually(lambda: nothing_is_reserved(replicas))


@pytest.mark.timeout(1_800)
async def test_a_thousand_cuts() -> None:
    async with asyncio.timeout(1_800), three(knobs=PACED) as replicas:
        slots = asyncio.Semaphore(AT_ONCE)

        async def search(number: int) -> None:
            async with slots:
                await cut_and_followed(replicas, number, 4 if number % 3 == 0 else 3)

        await asyncio.gather(*map(search, range(SEARCHES)))
        assert replicas.record.total == SEARCHES


async def test_a_failover_to_a_copy_loses_nothing_that_the_owner_has() -> None:
    async with asyncio.timeout(115), three(count=2, knobs=PACED) as replicas:
        owner, other = replicas.replicas
        search_id = await owner.start("[sim endless]")
        await owner.follow(search_id, most=60)
        reading = [asyncio.create_task(followed(one, search_id)) for one in (owner, other)]
        await other.follow(search_id, most=60)
        await replicas.redis.ask("SAVE")
        await owner.follow(search_id, most=200)
        await replicas.redis.restart()  # With what was saved: a copy that is behind.
        await eventually(lambda: both_up(replicas))
        await eventually(lambda: is_cancelled(other, search_id), within_s=60)
        (here, _), (there, _) = await asyncio.gather(*reading)
        assert here == there
        await eventually(lambda: nothing_is_reserved(replicas))


async def test_a_server_of_these_tests_keeps_what_was_saved() -> None:
    async with redis_server() as server:
        await server.ask("SET", "isp:x", "1")
        await server.ask("SAVE")
        await server.restart()
        assert await server.ask("GET", "isp:x") == b"1"
