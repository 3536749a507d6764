"""Mischief of a caller or of an upstream, row by row of the table in `docs/operations.md`."""

import ast
import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest

from tests.clock import quiet, settle, skip
from tests.dashscope import ADDED, CREATED, block, completed, usage
from tests.e2e.callers import ASKED, BLOG, GUARDED, SHOP
from tests.e2e.money import no_search_runs, price, spent, unknown
from tests.e2e.v1 import asked as asked_v1
from tests.e2e.v1 import create
from tests.peer import JSON, answer, holds, says, stream
from tests.processes import ROOT
from tests.service import fronting, running
from tests.waiting import eventually
from tests.wire import EVENT_STREAM, dial, events_of, request

GUARD_S = 3_600
LONG = "x" * 600_000
"""Characters that are 600,000 tokens at most."""


def test_the_table_of_attacks_names_tests_that_there_are() -> None:
    table = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\| `([\w/]+\.py)` `(\w+)` \|$", table, re.MULTILINE)
    assert len(rows) >= 20
    for file, test in rows:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
        assert test in names, f"{file} has no {test}"


@pytest.mark.parametrize("path", ["/search", "/search/stream", "/v1/responses"])
async def test_searches_that_are_dropped_at_once_use_up_nobodys_budget(path: str) -> None:
    body = asked_v1() if path.startswith("/v1") else ASKED
    dear = body | {"max_output_tokens": 65_536}
    async with running(**GUARDED, budget_total_cny_per_day=Decimal(2)) as service:
        for _ in range(7):
            async with dial(service.url) as wire:
                wire.send(request("POST", path, headers=SHOP, body=dear))
                wire.reset()
                await quiet()
        assert service.record.total == 0
        assert await spent(service) == 0
        assert (await service.http.post("/search", json=ASKED, headers=BLOG)).status_code == 200


async def test_a_long_request_is_reserved_at_its_length() -> None:
    async with running(budget_total_cny_per_day=Decimal("0.5"), prompt_max_chars=0) as service:
        for dear in (
            {"instructions": LONG},
            {"input": LONG},
            {"input": [{"role": "user", "content": LONG[:600]}] * 1_000},
            {"max_output_tokens": 65_536},
        ):
            refused = await create(service, asked_v1(**dear))
            assert refused.status_code == 402
            assert refused.json()["error"]["code"] == "budget_exceeded"
        assert service.record.total == 0


async def test_following_up_reserves_the_answer_that_is_sent_again() -> None:
    first = completed(usage=usage(600_000, 10, 1))
    second = completed(usage=usage(1_000, 10, 1), id="resp_2")
    parts = [says(stream(block(CREATED), block(one))) for one in (first, second)]
    async with fronting(*parts, budget_total_cny_per_day=Decimal(5)) as (service, _):
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
        follow_up = {"previous_response_id": "resp_1", "prompt": "And?"}
        assert (await service.http.post("/search", json=follow_up)).status_code == 402
        v1 = await create(service, asked_v1(previous_response_id="resp_1", image=None))
        assert v1.status_code == 402
        assert (await service.http.post("/search", json=ASKED | {"prompt": "?"})).is_success


async def test_an_output_limit_that_is_no_possible_number_is_refused() -> None:
    async with running() as service:
        for tokens in ("1000000", 65_537, 15, 1.5, True):
            wanted: dict[str, Any] = {"max_output_tokens": tokens}
            search = await service.http.post("/search", json=ASKED | wanted)
            assert (search.status_code, search.json()["code"]) == (422, "invalid_request")
            v1 = await create(service, asked_v1(**wanted))
            assert (v1.status_code, v1.json()["error"]["param"]) == (422, "max_output_tokens")
        assert service.record.total == 0


STORED = json.dumps({"id": "resp_1", "status": "completed", "output": [], "usage": usage(9, 9)})


@pytest.mark.parametrize("path", ["/v1/responses/resp_1", "/v1/responses/resp_1/input_items"])
async def test_look_ups_count_to_rate_and_capacity_and_end_with_their_callers(path: str) -> None:
    limits: dict[str, Any] = {"rate_limit": "5/minute", "capacity": 2, "capacity_wait_s": 0}
    async with asyncio.timeout(GUARD_S), AsyncExitStack() as stack:
        knows_one = fronting(says(answer("200 OK", STORED.encode())), holds(), **limits)
        service, peer = await stack.enter_async_context(knows_one)
        assert (await create(service, asked_v1())).status_code == 200
        wires = [await stack.enter_async_context(dial(service.url)) for _ in range(40)]
        for wire in wires:
            wire.send(request("GET", path))
        reading = [asyncio.create_task(wire.body()) for wire in wires]
        await quiet()
        assert len(peer.requests) == 1 + 2
        codes = sorted(one.result()[0] for one in reading if one.done())
        assert codes == [429] * 36 + [503] * 2
        for wire in wires:
            wire.reset()
        await peer.left.wait()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_a_clock_that_jumped_ahead_and_back_finds_its_day_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, ahead_s = time.time, 0
    monkeypatch.setattr(time, "time", lambda: now_s() + ahead_s)
    async with running(budget_total_cny_per_day=Decimal("0.09")) as service:
        statuses = []
        for number, days in enumerate([0, 0, 9, 9, 0, 9, 1, 0]):
            ahead_s = 86_400 * days
            answered = await service.http.post("/search", json=ASKED | {"prompt": f"{number}"})
            statuses.append(answered.status_code)
        # One search a day, whichever day it is, and however often it comes back.
        assert statuses == [200, 402, 200, 402, 402, 402, 200, 402]


async def test_who_leaves_while_a_picture_waits_starts_no_search() -> None:
    """Though the picture is ready in the moment in which its caller leaves."""
    url = "data:image/png;base64," + "A" * 40_000
    async with running() as service:
        for path in ("/search", "/search/stream"):
            async with dial(service.url) as wire:
                wire.send(request("POST", path, body={"image_url": url}))
                await settle(3)
                wire.reset()
        await quiet()
        await eventually(lambda: no_search_runs(service))
        assert (service.record.total, await spent(service)) == (0, Decimal(0))


@pytest.mark.parametrize("data", [b"no JSON", b"[]", b'{"delta": ["x"]}'])
async def test_an_odd_delta_of_the_upstream_makes_no_answer_free(data: bytes) -> None:
    odd = b"event:response.output_text.delta\ndata:%b\n\n" % data
    begun = [block(CREATED), block(ADDED), block(ADDED), odd]
    async with fronting(says(stream(*begun))) as (service, _):
        broken = (await service.http.post("/search", json=ASKED)).json()
        assert (broken["code"], broken["billed"]) == ("upstream_interrupted", "maybe")
        await eventually(lambda: no_search_runs(service))
        assert unknown(calls=2).holds(await spent(service))


async def test_an_upload_that_trickles_is_ended_and_gives_its_memory_back() -> None:
    head = "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = json.dumps(ASKED | {"prompt": "y" * 8_000}).encode()
    limits: dict[str, Any] = {"image_inflight_max_bytes": 60_000}
    async with asyncio.timeout(GUARD_S), running(**limits) as service, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(dial(service.url)) for _ in range(4)]
        for wire in wires:
            wire.send(f"{head}Content-Length: 1000000\r\n\r\n".encode() + body)
        for _ in range(12):
            await quiet()
            skip(10)
            for wire in wires:
                wire.send(b" ")
        codes = {(await wire.body())[2]["code"] for wire in wires}
        assert "upload_timeout" in codes <= {"upload_timeout", "overloaded"}
        await quiet()
        assert (await service.http.post("/search", json=ASKED)).status_code == 200


HOSTS: dict[str, tuple[list[str], list[str]]] = {
    # by ALLOWED_HOSTS, without a key: what is served, and what is not
    "": (
        ["LOCALHOST:1", "a.localhost", "localhost.", "[::ffff:10.0.0.1]", "192.0.2.7", "service"],
        [
            *("EVIL.example:8000", "evil.example.", "127.0.0.1.evil.example", "a:b@evil.example"),
            *("evil.example/localhost", "[evil.example]", "a b", "localhost:x", "1.2.3"),
        ],
    ),
    "Search.example, ::1, 192.0.2.7": (
        ["SEARCH.example:443", "search.example.", "[::1]", "192.0.2.7"],
        ["localhost", "127.0.0.1", "service", "", "x.search.example"],
    ),
}


@pytest.mark.parametrize("allowed", HOSTS)
async def test_a_page_whose_name_is_made_to_lead_here_is_refused(allowed: str) -> None:
    serves, refuses = HOSTS[allowed]
    async with running(allowed_hosts=allowed) as service:
        for host in serves:
            found = await service.http.get("/v1/models", headers={"Host": host})
            assert found.status_code == 200, host
        for host in refuses:
            # The page's own origin, as after DNS rebinding.
            headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
            refused = await service.http.post("/search", headers=headers, json=ASKED)
            assert (refused.status_code, refused.json()["code"]) == (421, "host_not_allowed")
            for path in ("/v1/models", "/"):
                assert (await service.http.get(path, headers=headers)).status_code == 421
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await service.http.get(path, headers=headers)).status_code == 200
        assert service.record.total == 0


@pytest.mark.parametrize("hosts", ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n"])
async def test_a_request_without_one_host_is_refused(hosts: str) -> None:
    async with running() as service, dial(service.url) as wire:
        wire.send(f"GET /search/stream?image_url=x HTTP/1.1\r\n{hosts}\r\n".encode())
        status, _, body = await wire.body()
        assert (status, body["code"]) == (400, "malformed_request")


FORGED = "response.created\n\nevent: search.completed\ndata: {}\n\n"
NAMELESS = [
    b'data:{"type": %b}\n\n' % json.dumps(name).encode()
    for name in (FORGED, FORGED.replace("\n", "\r"), "response.a\u2028")
]
SPACED = b'{"status": "failed",\r\r"type": "response.failed", "error": {"code": "a"}}'
BREAKS = [
    *(stream(block(CREATED), one) for one in NAMELESS),
    answer("200 OK", SPACED, JSON),
]
WHOLE = re.compile(r"event: [\w.]+\n(data: .*\n)+(retry: \d+\n)?id: srch_\w+:\d+")


@pytest.mark.parametrize("wire", BREAKS, ids=range(len(BREAKS)))
async def test_line_breaks_of_the_upstream_forge_no_event(wire: bytes) -> None:
    async with fronting(says(wire), upstream_retries=0) as (service, _):
        got = await service.http.get("/search/stream", params=ASKED, headers=EVENT_STREAM)
        names = events_of(got.content)
        assert (names[-1], names.count(b"search.completed")) == (b"search.failed", 0)
        assert all(WHOLE.fullmatch(one) for one in got.text.strip().split("\n\n"))
        v1 = await create(service, asked_v1(stream=True))
        assert b"\r" not in got.content + v1.content


async def test_a_client_sees_its_own_spending_of_today() -> None:
    budgets = {"budget_client_cny_per_day": "1", "budget_total_cny_per_day": "1.1"}
    async with running(**GUARDED | budgets) as service:
        today = {"day": time.strftime("%F", time.gmtime()), "currency": "CNY"}
        nothing = {"spent": 0, "reserved": 0, "budget": 1, "left": 1, "searches": 0}
        assert (await service.http.get("/usage", headers=SHOP)).json() == today | nothing
        await service.http.post("/search", json=ASKED, headers=SHOP)
        await eventually(lambda: no_search_runs(service))
        owed = price(service.record.calls)
        mine = (await service.http.get("/usage", headers=SHOP)).json()
        assert (Decimal(str(mine["spent"])), mine["reserved"], mine["searches"]) == (owed, 0, 1)
        assert await service.metric("imagesearch_spend_cny_total", client="shop") == float(owed)
        other = (await service.http.get("/usage", headers=BLOG)).json()
        assert (other["spent"], other["searches"]) == (0, 0)
        assert Decimal(str(other["left"])) == min(Decimal(1), Decimal("1.1") - owed)
