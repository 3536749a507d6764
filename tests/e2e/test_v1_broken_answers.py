"""Whole answers of `/v1`, and those that the upstream keeps: what fails is told as an error."""

import asyncio
from typing import Any

import httpx

from tests.clock import settle, skip
from tests.e2e.v1 import asked, error_of
from tests.peer import JSON, answer, holds, says
from tests.service import KEY, Running, fronting
from tests.waiting import hurried

BODY = f'{{"id":"resp_1","object":"response","output":[],"text":"{KEY}"}}'.encode()
SHOWN = BODY.replace(KEY.encode(), b"***")
WELL = says(answer("200 OK", BODY, JSON))
DAY = "Sat, 28 Nov 2026"
LATER = (f"date: {DAY} 10:00:01 GMT", f"retry-after: {DAY} 10:00:08 GMT")
BUSY = b'{"code":"Throttling","message":"Requests throttling triggered."}'


async def create(service: Running) -> httpx.Response:
    return await service.http.post("/v1/responses", json=asked(), timeout=None)


async def fetch(service: Running, **params: Any) -> httpx.Response:
    return await service.http.get("/v1/responses/resp_1", params=params, timeout=None)


def told(response: httpx.Response) -> tuple[int, str]:
    assert KEY not in response.text
    return response.status_code, error_of(response)["code"]


PARTIAL = answer("200 OK", BODY, JSON, "x-dashscope-partialresponse: true")
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + BODY[:20]
REFUSED = answer("401 No", b'{"code":"InvalidApiKey","message":""}')
MOVED = answer("307 Away", b"", "location: http://127.0.0.1:9/")
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "a page": (answer("200 OK", b"<html>Sign in</html>"), 502, "upstream_protocol"),
    "another object": (answer("200 OK", b"{}", JSON), 502, "upstream_protocol"),
    "nothing": (answer("200 OK", b"", JSON), 502, "upstream_interrupted"),
    "half of it": (answer("200 OK", BODY[:30], JSON), 502, "upstream_interrupted"),
    "less than announced": (HALF, 502, "upstream_interrupted"),
    "what their time limit left": (PARTIAL, 502, "upstream_interrupted"),
    "a throttle under 200": (answer("200 OK", BUSY, JSON), 503, "upstream_rate_limited"),
    "a refusal": (REFUSED, 502, "upstream_auth_failed"),
    "a redirect": (MOVED, 502, "upstream_rejected"),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", 502, "upstream_protocol"),
}


async def test_what_is_no_answer_is_an_error_when_it_is_made_and_when_it_is_looked_up() -> None:
    peers = [says(wire) for wire, _, _ in BROKEN.values() for _ in range(2)]
    async with fronting(WELL, *peers, upstream_retries=0) as (service, _):
        assert (await create(service)).status_code == 200
        for kind, (_, status, code) in BROKEN.items():
            assert told(await create(service)) == (status, code), kind
            assert told(await fetch(service)) == (status, code), kind


async def test_only_a_call_that_was_throttled_is_asked_for_again() -> None:
    busy = says(answer("429 Busy", BUSY, JSON, *LATER))
    async with fronting(WELL, busy, WELL, busy, says(reset=True)) as (service, peer):
        await create(service)
        assert (await hurried(create(service))).content == SHOWN
        assert peer.requests[1] == peer.requests[2]
        waits = await fetch(service)
        assert told(waits) == (503, "upstream_rate_limited")
        assert waits.headers["retry-after"] == "7"
        refused = await create(service)
        assert told(refused) == (502, "upstream_unavailable")
        assert refused.headers["x-should-retry"] == "false"
        assert len(peer.requests) == 5


async def test_an_answer_without_end_is_ended_here() -> None:
    most_bytes = 4 * 65_536 + 2**20
    limits = {"upstream_max_event_bytes": 65_536, "search_max_bytes": most_bytes}
    endless = answer("200 OK", b"[" + b" " * most_bytes, JSON)
    async with fronting(says(endless), **limits) as (service, _):
        assert told(await create(service)) == (502, "upstream_protocol")


async def test_only_the_whole_time_of_an_answer_is_bounded() -> None:
    """Nothing comes of it while it is made, so no first event can be waited for."""
    async with fronting(holds()) as (service, peer):
        asking = asyncio.create_task(create(service))
        await peer.asked.wait()
        await settle(200)
        skip(200)
        await settle(100)
        assert not asking.done()
        skip(111)
        assert told(await asking) == (504, "upstream_timeout")
