"""A replica that is killed or stopped in mid-stream: one end for everybody, and one charge."""

import asyncio
import os
import sys
import time
from decimal import Decimal
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from simulator import Knobs
from tests.e2e.money import RESERVED
from tests.e2e.replicas.three import TERMINAL, Three, three
from tests.service import KEY

KILLS = int(os.environ.get("REPLICA_KILLS", "10"))
LOST_WITHIN_S = 20
LOST_EVENTS_MAX = 5
"""What comes in a window of 0.1 s."""
FORGOTTEN_S = 12
"""After that nothing is left of a log that is not kept."""
AT_ONCE = 5
PACED, QUICK = (Knobs(key=KEY, pace_s=pace_s, silence_s=0.1) for pace_s in (0.1, 0.01))
PROMPT = "[sim stall after=30]"


async def killed_and_followed(replicas: Three, number: int) -> float:
    """Kill the owner of a search that others follow from two replicas; when they were told."""
    first, second = replicas.replicas[:2]
    owner = await replicas.add()
    prompt = f"{PROMPT} {number}"
    search_id = await owner.start(prompt)
    before = await owner.follow(search_id, most=replicas.chance.randrange(5, 25))
    following = [asyncio.create_task(one.follow(search_id)) for one in (first, second, first)]
    await asyncio.sleep(replicas.chance.random())
    owner.process.signal(SIGKILL)
    replicas.replicas.remove(owner)
    killed_s = time.monotonic()
    async with asyncio.timeout(LOST_WITHIN_S):
        log, *others = await asyncio.gather(*following)
    told_s = time.monotonic() - killed_s
    assert others == [log, log]
    assert [one.event for one in log if one.event in TERMINAL] == ["search.failed"]
    last = log[-1].json()
    assert (last["error"]["code"], last["error"]["billed"]) == ("owner_lost", "maybe")
    kept = min(len(before), len(log) - 1)
    assert kept >= len(before) - LOST_EVENTS_MAX
    assert before[:kept] == log[:kept]
    shown = [one for one in before if one.event == "search.results"]
    assert shown == [one for one in log if one.event == "search.results"][: len(shown)]
    assert bool(last["result"]["results"]) >= bool(shown)

    # Who comes back with the number of the end, or with more, is told the end once.
    for seen in (str(len(log)), "400"):
        (told,) = await second.follow(search_id, after=seen)
        assert told.event == "search.failed"
        told_number = told.id.partition(":")[2]
        assert await first.follow(search_id, after=told_number) == []
        url = f"/search/{search_id}/stream"
        assert (await first.http.get(url, params={"after": told_number})).status_code == 204

    again = await first.start(prompt)
    assert again != search_id
    assert (await second.follow(again, most=5))[-1].event not in TERMINAL
    assert (await second.http.delete(f"/search/{again}")).json()["status"] == "cancelled"
    return told_s


@pytest.mark.timeout(60 + 30 * KILLS)
async def test_a_search_whose_replica_is_killed_ends_and_is_charged_once() -> None:
    async with asyncio.timeout(60 + 30 * KILLS), three(count=2, knobs=PACED) as replicas:
        slots = asyncio.Semaphore(AT_ONCE)

        async def kill(number: int) -> float:
            async with slots:
                return await killed_and_followed(replicas, number)

        told_s = sorted(await asyncio.gather(*map(kill, range(KILLS))))
        sys.stdout.write(f"told after {told_s[KILLS // 2]:.1f} s, {told_s[-1]:.1f} s at most\n")
        assert replicas.record.total == 2 * KILLS
        usage = await replicas.usage()
        assert (usage["reserved"], usage["searches"]) == (0, 2 * KILLS)
        # Each search and its repetition may have been billed, and each once.
        assert KILLS * RESERVED < Decimal(str(usage["spent"])) < (2 * KILLS + 1) * RESERVED


async def test_a_replica_that_was_stopped_until_its_search_is_forgotten_charges_no_more() -> None:
    async with asyncio.timeout(110), three(knobs=QUICK, SEARCH_RETENTION_S="0") as replicas:
        owner, other = replicas.replicas[:2]
        search_id = await owner.start("[sim endless]")
        local = asyncio.create_task(owner.follow(search_id))
        remote = asyncio.create_task(other.follow(search_id))
        await owner.follow(search_id, most=150)
        owner.process.signal(SIGSTOP)
        assert (await remote)[-1].json()["error"]["code"] == "owner_lost"
        charged = await replicas.usage(other)
        await asyncio.sleep(FORGOTTEN_S)
        owner.process.signal(SIGCONT)
        ends = [one for one in await local if one.event in TERMINAL]
        assert [one.json()["error"]["code"] for one in ends] == ["owner_lost"]
        assert await replicas.usage(other) == charged
        assert charged["reserved"] == 0


async def test_a_replica_that_was_stopped_for_long_takes_over_the_end_that_was_made() -> None:
    async with asyncio.timeout(110), three(knobs=QUICK) as replicas:
        owner, other, late = replicas.replicas
        search_id = await owner.start("[sim endless]")
        local = asyncio.create_task(owner.follow(search_id))
        remote = asyncio.create_task(other.follow(search_id))
        await owner.follow(search_id, most=150)  # Deltas, so that a window is open.
        owner.process.signal(SIGSTOP)
        lost = await remote
        assert lost[-1].json()["error"]["code"] == "owner_lost"
        owner.process.signal(SIGCONT)
        ends = [one for one in await local if one.event in TERMINAL]
        assert [one.json()["error"]["code"] for one in ends] == ["owner_lost"]
        assert await late.follow(search_id) == lost == await owner.follow(search_id)
        found = [await one.http.get(f"/search/{search_id}") for one in replicas.replicas]
        assert {one.json()["status"] for one in found} == {"failed"}
        usage = await replicas.usage()
        assert (usage["reserved"], usage["searches"]) == (0, 1)
        assert replicas.record.total == 1
