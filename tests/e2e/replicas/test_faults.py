"""Redis that is slow, down, emptied or full while searches run: what readers see of it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.replicas.three import PACED, TERMINAL, Replica, Three, three
from tests.processes import ROOT
from tests.redis_server import RedisServer, late_answers, redis_server
from tests.service import ServerSentEvent
from tests.waiting import eventually

CLAIMS = ROOT / "app/store/scripts/open.lua"
LONGEST_PAUSE_S = 1.5
"""Of a reader beside its search: the process has other work, but does not wait for Redis."""
LONGEST_ANSWER_S = 2.5
"""Of a request that Redis does not answer: a second, on a busy machine."""


async def paused(redis: RedisServer) -> None:
    await redis.ask("CLIENT", "PAUSE", 4_000, "ALL")
    await asyncio.sleep(4)


async def connections_killed(redis: RedisServer) -> None:
    for _ in range(20):
        await redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.1)


async def emptied(redis: RedisServer) -> None:
    await redis.ask("FLUSHALL")


async def frozen(redis: RedisServer) -> None:
    redis.signal(SIGSTOP)
    await asyncio.sleep(8)
    redis.signal(SIGCONT)


async def restarted_empty(redis: RedisServer) -> None:
    await redis.stop(SIGKILL)
    await asyncio.sleep(4)
    await redis.start()


async def stopped_for_long(redis: RedisServer) -> None:
    await redis.ask("SAVE")
    await redis.stop(SIGKILL)
    await asyncio.sleep(20)
    await redis.start()


async def full(redis: RedisServer) -> None:
    await redis.ask("CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(6)
    await redis.ask("CONFIG", "SET", "maxmemory", "0")


FAULTS = [paused, connections_killed, emptied, frozen, restarted_empty, full]


Followed = asyncio.Task[tuple[list[ServerSentEvent], float]]


async def followed(replica: Replica, search_id: str) -> tuple[list[ServerSentEvent], float]:
    """The events of a search, and the longest pause between two of them."""
    got, last_s, longest_s = list[ServerSentEvent](), time.monotonic(), 0.0
    async for event in replica.events(search_id):
        got.append(event)
        longest_s = max(longest_s, time.monotonic() - last_s)
        last_s = time.monotonic()
    return got, longest_s


@asynccontextmanager
async def read_by_both() -> AsyncIterator[tuple[Three, str, Followed, Followed]]:
    """A search without an end, read at its owner and at another replica."""
    async with asyncio.timeout(115), three(count=2, knobs=PACED) as replicas:
        owner, other = replicas.replicas
        search_id = await owner.start("[sim endless]")
        await owner.follow(search_id, most=60)
        here, there = (asyncio.create_task(followed(one, search_id)) for one in (owner, other))
        await other.follow(search_id, most=60)
        yield replicas, search_id, here, there


async def asked(replica: Replica, prompt: str) -> tuple[int, float]:
    began_s = time.monotonic()
    body = {"image_url": IMAGE_URL, "prompt": prompt}
    answer = await replica.http.post("/search/stream", json=body)
    return answer.status_code, time.monotonic() - began_s


@pytest.mark.parametrize("fault", FAULTS)
async def test_readers_get_every_event_and_one_end_whatever_happens_to_redis(
    fault: Callable[[RedisServer], Awaitable[None]],
) -> None:
    async with read_by_both() as (replicas, search_id, here, there):
        _, other = replicas.replicas
        await fault(replicas.redis)
        await eventually(replicas.all_up)
        assert not here.done()
        assert not there.done()
        await eventually(lambda: is_cancelled(other, search_id))
        local, longest_s = await here
        remote, elsewhere_s = await there
        sys.stdout.write(f"{fault.__name__}: {longest_s:.1f} s, elsewhere {elsewhere_s:.1f} s\n")
        assert local == remote
        assert [one.event for one in local if one.event in TERMINAL] == ["search.cancelled"]
        assert longest_s < LONGEST_PAUSE_S
        assert replicas.record.total == 1
        await eventually(replicas.nothing_is_reserved)


async def is_cancelled(replica: Replica, search_id: str) -> bool:
    answer = await replica.http.delete(f"/search/{search_id}")
    return answer.status_code == 200 and answer.json()["status"] == "cancelled"


@pytest.mark.parametrize("late_answer", ["new", "ok", ""], ids=["claimed", "reserved", "late"])
async def test_what_redis_did_for_a_request_that_was_refused_is_undone(late_answer: str) -> None:
    """It is executed in time, and the answer is late; or when it was undone already."""
    async with asyncio.timeout(100), redis_server() as redis, late_answers(redis) as late:
        url = f"redis://127.0.0.1:{late.port}/0"
        async with three(count=1, knobs=PACED, url=url, BUDGET_TOTAL_CNY_PER_DAY="5") as replicas:
            (replica,) = replicas.replicas
            await eventually(replicas.all_up)
            if late_answer:
                late.held_back = f"${len(late_answer)}\r\n{late_answer}\r\n".encode()
            else:
                sha = await redis.ask("SCRIPT", "LOAD", CLAIMS.read_text("utf-8"))
                late.held_command, late.delay_s = sha, 4
            answers = await asyncio.gather(*(asked(replica, f"At once {n}") for n in range(5)))
            assert {status for status, _ in answers} == {503}
            assert max(took_s for _, took_s in answers) < LONGEST_ANSWER_S
            late.held_back = late.held_command = b""
            await eventually(replicas.all_up)
            await asyncio.sleep(late.delay_s)

            async def nothing_is_claimed() -> bool:
                return not await redis.ask("KEYS", "isp:fp:*")

            await eventually(nothing_is_claimed)
            await eventually(replicas.nothing_is_reserved)
            assert (await asked(replica, "At once 0"))[0] == 200
            assert replicas.record.total == 1


@pytest.mark.parametrize("budget", ["0", "5"])
async def test_without_redis_searches_run_here_alone_or_are_refused_where_a_budget_is_set(
    budget: str,
) -> None:
    async with (
        asyncio.timeout(110),
        three(count=2, knobs=PACED, BUDGET_TOTAL_CNY_PER_DAY=budget, RATE_LIMIT="90/hour") as both,
    ):
        replica, other = both.replicas
        await eventually(both.all_up)
        both.redis.signal(SIGSTOP)
        # The first are executed when it wakes: nothing of them may stay claimed.
        answers = await asyncio.gather(*(asked(replica, f"At once {n}") for n in range(5)))
        answers += [await asked(replica, f"Later {n}") for n in range(3)]
        both.redis.signal(SIGCONT)
        assert {status for status, _ in answers} == {200 if budget == "0" else 503}
        if budget != "0":
            longest_s = max(took_s for _, took_s in answers)
            sys.stdout.write(f"refused within {longest_s:.1f} s\n")
            assert longest_s < LONGEST_ANSWER_S
            assert both.record.total == 0
        await eventually(both.all_up)
        ran_alone = len(answers) if budget == "0" else 0

        async def all_is_told() -> bool:
            found = await both.redis.ask("KEYS", "isp:fp:*")
            return [len(found), (await both.usage())["searches"]] == [ran_alone] * 2

        await eventually(all_is_told)
        status, _ = await asked(other, "At once 0")
        assert status == 200
        searches = (await both.usage())["searches"]
        assert searches == both.record.total == (ran_alone or 1)


async def test_a_budget_is_held_where_redis_takes_no_writes() -> None:
    async with asyncio.timeout(100), three(count=1, BUDGET_TOTAL_CNY_PER_DAY="0.1") as replicas:
        (replica,) = replicas.replicas
        await eventually(replicas.all_up)
        await replicas.redis.ask("CONFIG", "SET", "maxmemory", "1mb")
        answers = await asyncio.gather(*(asked(replica, f"At once {n}") for n in range(5)))
        assert {status for status, _ in answers} == {503}
        assert replicas.record.total == 0


async def test_what_has_ended_is_charged_once_though_redis_was_away() -> None:
    async with asyncio.timeout(100), three(count=1, knobs=PACED) as replicas:
        (replica,) = replicas.replicas
        await eventually(replicas.all_up)
        body = {"model": "qwen3.7-plus", "input": "Hello"}
        assert (await replica.http.post("/v1/responses", json=body)).status_code == 200
        await eventually(replicas.nothing_is_reserved)
        spent = (await replicas.usage())["spent"]
        await asyncio.sleep(11)  # What nobody comes back for is kept for ten seconds.
        await replicas.redis.ask("CLIENT", "PAUSE", 3000, "ALL")
        await asyncio.sleep(3.2)
        await eventually(replicas.all_up)
        await asyncio.sleep(4)
        assert (await replicas.usage())["spent"] == spent
