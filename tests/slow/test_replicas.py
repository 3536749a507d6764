"""Replicas for longer: Redis gone for 20 s, a thousand cuts, the lag elsewhere, a failover."""

import asyncio
import statistics
import sys
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.e2e.replicas.test_cuts import cut_through_nginx
from tests.e2e.replicas.test_faults import is_cancelled, read_by_both, stopped_for_long
from tests.e2e.replicas.three import PACED, TERMINAL, Replica, three
from tests.redis_server import redis_server
from tests.waiting import eventually

FOLLOWED, FOLLOWED_EVENTS = 10, 300
BEHIND_S = 0.4
"""What half of all events may take to a reader of another replica."""


async def test_no_replica_is_declared_dead_because_redis_was_gone_for_longer_than_a_lease() -> None:
    """Twice: each time all leases have ended when it is back."""
    async with read_by_both() as (replicas, search_id, *reading):
        _, other = replicas.replicas
        for _ in range(2):
            await stopped_for_long(replicas.redis)
            await eventually(replicas.all_up)
        await eventually(lambda: is_cancelled(other, search_id), within_s=60)
        (here, longest_s), (there, elsewhere_s) = await asyncio.gather(*reading)
        sys.stdout.write(f"gone for 20 s: {longest_s:.1f} s, elsewhere {elsewhere_s:.1f} s\n")
        assert here == there
        assert [one.event for one in here if one.event in TERMINAL] == ["search.cancelled"]
        assert longest_s < 5
        await eventually(replicas.nothing_is_reserved)


@pytest.mark.timeout(1_800)
async def test_a_thousand_cuts_of_three_hundred_searches(tmp_path: Path) -> None:
    async with asyncio.timeout(1_800):
        await cut_through_nginx(tmp_path, searches=300)


async def arrivals_s(replica: Replica, search_id: str) -> dict[str, float]:
    """When each event came."""
    found: dict[str, float] = {}
    async with aclosing(replica.events(search_id)) as events:
        async for event in events:
            found[event.id] = time.monotonic()
            if len(found) == FOLLOWED_EVENTS:
                break
    return found


async def test_readers_elsewhere_are_behind_by_little_more_than_a_window() -> None:
    async with asyncio.timeout(115), three(count=2, knobs=PACED) as replicas:
        owner, other = replicas.replicas

        async def lags_s(number: int) -> list[float]:
            search_id = await owner.start(f"[sim endless] {number}")
            both = (arrivals_s(one, search_id) for one in (owner, other))
            here, there = await asyncio.gather(*both)
            return [there[one] - here[one] for one in here]

        found = await asyncio.gather(*map(lags_s, range(FOLLOWED)))
        lag_s = statistics.quantiles((one for some in found for one in some), n=100)
        said = " ".join(f"p{n} {lag_s[n - 1] * 1_000:.0f} ms" for n in (50, 90, 99))
        sys.stdout.write(f"{FOLLOWED} searches, behind the owner: {said}\n")
        assert lag_s[49] < BEHIND_S


async def test_a_failover_to_a_copy_loses_nothing_that_the_owner_has() -> None:
    async with read_by_both() as (replicas, search_id, *reading):
        owner, other = replicas.replicas
        await replicas.redis.ask("SAVE")
        await owner.follow(search_id, most=200)
        await replicas.redis.restart()  # With what was saved: a copy that is behind.
        await eventually(replicas.all_up)
        await eventually(lambda: is_cancelled(other, search_id), within_s=60)
        (here, _), (there, _) = await asyncio.gather(*reading)
        assert here == there
        await eventually(replicas.nothing_is_reserved)


async def test_a_server_of_these_tests_keeps_what_was_saved() -> None:
    async with redis_server() as server:
        await server.ask("SET", "isp:x", "1")
        await server.ask("SAVE")
        await server.restart()
        assert await server.ask("GET", "isp:x") == b"1"
