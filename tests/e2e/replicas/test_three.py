"""Several replicas are one service: what one of them runs, all can follow, join and stop."""

import asyncio
from decimal import Decimal

import httpx
import pytest

from tests.clock import until
from tests.e2e.asking import IMAGE_URL
from tests.e2e.money import RESERVED
from tests.e2e.replicas.three import three
from tests.redis_server import RedisServer
from tests.waiting import eventually


async def test_equal_requests_on_all_replicas_are_one_search() -> None:
    body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=all]"}
    async with asyncio.timeout(100), three() as replicas:

        async def ask(number: int) -> httpx.Response:
            return await replicas.replicas[number % 3].http.post("/search", json=body)

        asked = [asyncio.create_task(ask(number)) for number in range(100)]
        await eventually(lambda: replicas.asked(100))
        await replicas.open_gate("all")
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        for answer in answers:
            assert answer.json() == answers[0].json()
        assert sorted(answer.headers["x-cache"] for answer in answers)[-2:] == ["coalesced", "miss"]
        again = await replicas.any().http.post("/search", json=body)
        assert again.headers["x-cache"] == "hit"
        assert replicas.record.total == 1


async def test_a_search_is_stopped_from_any_replica_unless_others_asked_for_it_too() -> None:
    async with asyncio.timeout(100), three() as replicas:
        first, second, third = replicas.replicas
        search_id = await first.start("[sim stall after=14]")
        stopped = await second.http.delete(f"/search/{search_id}")
        assert stopped.json()["status"] == "cancelled"
        assert (await third.follow(search_id))[-1].event == "search.cancelled"
        assert (await first.http.get(f"/search/{search_id}")).json() == stopped.json()

        body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=two]"}
        search_id = await first.start(body["prompt"])
        joined = asyncio.create_task(second.http.post("/search", json=body))
        await eventually(lambda: replicas.asked(2))
        left = await third.http.delete(f"/search/{search_id}")
        assert left.json()["status"] == "in_progress"
        await replicas.open_gate("two")
        assert (await joined).json()["status"] == "completed"


async def test_a_key_a_rate_and_a_budget_hold_over_all_replicas() -> None:
    budget = str(12 * RESERVED + RESERVED / 2)
    async with (
        asyncio.timeout(100),
        three(
            BUDGET_TOTAL_CNY_PER_DAY=budget,
            ALLOW_ANONYMOUS="false",
            CLIENT_KEYS="shop:a-long-key-of-a-shop",
            RATE_LIMIT="40/hour",
        ) as replicas,
    ):
        for replica in replicas.replicas:
            replica.http.headers["Authorization"] = "Bearer a-long-key-of-a-shop"

        async def ask(number: int) -> httpx.Response:
            body = {"image_url": IMAGE_URL, "prompt": f"[sim gated tag=all] {number}"}
            return await replicas.replicas[number % 3].http.post("/search", json=body)

        asked = [asyncio.create_task(ask(number)) for number in range(60)]
        await until(lambda: sum(one.done() for one in asked) >= 60 - 12)
        reserved = Decimal(str((await replicas.usage())["reserved"]))
        assert 12 * RESERVED < reserved <= Decimal(budget)
        await replicas.open_gate("all")
        answers = await asyncio.gather(*asked)
        codes = [answer.status_code for answer in answers]
        assert (codes.count(200), codes.count(429), codes.count(402)) == (12, 20, 28)
        used = [await replicas.usage(replica) for replica in replicas.replicas]
        assert used[0] == used[1] == used[2]
        assert used[0]["reserved"] == 0
        assert replicas.record.total == used[0]["searches"] == 12


async def test_a_follow_up_a_chat_and_a_response_are_found_on_every_replica() -> None:
    async with asyncio.timeout(100), three() as replicas:
        first, second, third = replicas.replicas
        body = {"image_url": IMAGE_URL, "prompt": "What is this?"}
        found = (await first.http.post("/search", json=body)).json()
        more = {"prompt": "And?", "previous_response_id": found["upstream_response_id"]}

        async def is_known() -> bool:  # Its owner is told in a moment.
            return (await second.http.post("/search", json=more)).status_code == 200

        await eventually(is_known)

        wanted = {"model": "qwen3.7-plus", "input": "[sim gated tag=v1]", "background": True}
        made = (await first.http.post("/v1/responses", json=wanted)).json()
        at = f"/v1/responses/{made['id']}"

        async def is_found() -> bool:
            return (await second.http.get(at)).status_code == 200

        await eventually(is_found)
        assert (await second.http.get(at)).json()["status"] in {"queued", "in_progress"}
        stopped = await third.http.post(f"{at}/cancel")
        assert stopped.json()["status"] == "cancelled"


@pytest.mark.parametrize("url", ["redis://:canary@127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_where_redis_is_away_at_start_one_line_says_so_without_the_password(url: str) -> None:
    with pytest.raises(AssertionError) as failed:
        async with three(count=1, url=url):
            pass
    lines = str(failed.value).strip().splitlines()
    assert len(lines) >= 1
    assert "REDIS_URL" in lines[0]
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "noeviction"])
async def test_the_start_warns_of_a_redis_that_may_evict(policy: str, server: RedisServer) -> None:
    await server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    async with asyncio.timeout(100), three(count=1, url=server.url) as replicas:
        process = replicas.replicas[0].process
        await until(lambda: "startup complete" in process.said)
    warned = [line for line in process.lines if "maxmemory-policy" in line]
    assert len(warned) == (policy != "noeviction")
    assert all(policy in line and "set noeviction" in line for line in warned)
