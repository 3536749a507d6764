"""Answers that come whole, as one JSON body: of a call, and of what the upstream keeps."""

import asyncio

import pytest

from app.errors import (
    InvalidRequest,
    SearchNotFound,
    ServiceError,
    UpstreamAuthFailed,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.clock import settle, skip
from tests.upstream.peer import answer, holds, resets_after, says
from tests.upstream.test_client import BUSY, JSON_TYPE, KEY, PAYLOAD, Probe, probing

BODY = '{"id":"resp_1","object":"response","output":[],"status":"completed","text":"你好"}'.encode()
WELL = answer("200 OK", BODY, JSON_TYPE)
FAILED_BODY = b'{"id":"resp_1","status":"failed","output":[],"error":{"code":"x","message":"y"}}'
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + BODY[:20]
NOT_FOUND = (
    b'{"error":{"message":"Response with id \'resp_1\' not found.","type":"InvalidParameter"}}'
)


async def complete(probe: Probe) -> bytes:
    return await probe.upstream.complete([PAYLOAD])


async def fetch(probe: Probe) -> bytes:
    return await probe.upstream.fetch("GET", "/responses/resp_1", {})


async def test_a_body_is_given_as_it_came() -> None:
    async with probing(says(WELL)) as (probe, peer):
        payload = [PAYLOAD]
        assert await probe.upstream.complete(payload) == BODY
    assert payload == []
    assert probe.counted("ok") == 1
    [request] = peer.requests
    head, _, sent = request.partition(b"\r\n\r\n")
    assert sent == PAYLOAD
    assert b"POST /v1/responses HTTP/1.1" in head
    assert b"\r\nauthorization: bearer " + KEY.encode() in head.lower()
    assert b"\r\naccept: application/json" in head.lower()


async def test_what_is_kept_is_asked_for_with_the_key_and_the_page() -> None:
    async with probing(says(WELL)) as (probe, peer):
        page = {"limit": "2", "after": "a&b"}
        assert await probe.upstream.fetch("DELETE", "/responses/resp_1", page) == BODY
    head = peer.requests[0].lower()
    assert head.startswith(b"delete /v1/responses/resp_1?limit=2&after=a%26b http/1.1")
    assert b"\r\nauthorization: bearer " + KEY.encode() in head


async def test_the_key_is_hidden() -> None:
    echoing = answer("200 OK", b'{"output":[],"text":"%b"}' % KEY.encode(), JSON_TYPE)
    async with probing(says(echoing)) as (probe, _):
        for way in (complete, fetch):
            assert await way(probe) == b'{"output":[],"text":"***"}'


BROKEN: dict[str, tuple[bytes, type[ServiceError]]] = {
    "a failure under 200": (answer("200 OK", FAILED_BODY, JSON_TYPE), UpstreamUnavailable),
    "a throttle under 200": (answer("200 OK", BUSY, JSON_TYPE), UpstreamRateLimited),
    "a page": (answer("200 OK", b"<html>Sign in</html>"), UpstreamProtocol),
    "another object": (answer("200 OK", b"{}", JSON_TYPE), UpstreamProtocol),
    "a list": (answer("200 OK", b"[]", JSON_TYPE), UpstreamProtocol),
    "nothing": (answer("200 OK", b"", JSON_TYPE), UpstreamInterrupted),
    "half of it": (answer("200 OK", BODY[:30], JSON_TYPE), UpstreamInterrupted),
    "less than announced": (HALF, UpstreamInterrupted),
    "what their time limit left": (
        answer("200 OK", BODY, JSON_TYPE, "x-dashscope-partialresponse: true"),
        UpstreamInterrupted,
    ),
    "a refusal": (answer("401 No", b'{"code":"InvalidApiKey","message":""}'), UpstreamAuthFailed),
    "a redirect": (answer("307 Away", b"", "location: http://127.0.0.1:9/"), UpstreamRejected),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", UpstreamProtocol),
}
BROKEN_WHEN_ASKED_ONLY = {"a failure under 200"}
"""An answer that failed and is kept comes back well."""


@pytest.mark.parametrize("broken", BROKEN)
async def test_whatever_is_no_answer_is_an_error(broken: str) -> None:
    wire, kind = BROKEN[broken]
    async with probing(says(wire), upstream_retries=0) as (probe, _):
        with pytest.raises(kind) as asked:
            await complete(probe)
        assert probe.counted(asked.value.code) == 1
        if broken in BROKEN_WHEN_ASKED_ONLY:
            assert await fetch(probe) == FAILED_BODY
            return
        with pytest.raises(kind):
            await fetch(probe)


@pytest.mark.parametrize(
    "wire",
    [
        answer("404 Not Found", b""),
        answer("400 Bad Request", NOT_FOUND, JSON_TYPE),
        answer("200 OK", NOT_FOUND, JSON_TYPE),
    ],
)
async def test_an_answer_that_is_not_kept_is_not_found(wire: bytes) -> None:
    async with probing(says(wire)) as (probe, _):
        with pytest.raises(SearchNotFound):
            await fetch(probe)


async def test_a_question_that_follows_such_an_answer_names_a_field_that_is_not_valid() -> None:
    async with probing(says(answer("400 Bad Request", NOT_FOUND, JSON_TYPE))) as (probe, _):
        with pytest.raises(InvalidRequest) as asked:
            await complete(probe)
    assert [one.field for one in asked.value.fields] == ["previous_response_id"]


async def test_a_page_that_is_refused_is_no_missing_answer() -> None:
    body = b'{"code":"InvalidParameter","message":"Invalid \'limit\': must be from 1 to 100."}'
    async with probing(says(answer("400 Bad Request", body, JSON_TYPE))) as (probe, _):
        with pytest.raises(InvalidRequest) as asked:
            await fetch(probe)
    assert [one.field for one in asked.value.fields] == ["limit"]


async def test_a_reset_may_have_been_billed() -> None:
    async with probing(resets_after(b"")) as (probe, peer):
        with pytest.raises(UpstreamUnavailable) as reset:
            await complete(probe)
    assert reset.value.may_be_billed
    assert len(peer.requests) == 1


async def test_a_throttled_call_is_made_again() -> None:
    busy = says(answer("429 Busy", BUSY, JSON_TYPE))
    async with probing(busy, says(WELL)) as (probe, peer):
        assert await complete(probe) == BODY
    assert peer.requests[0] == peer.requests[1]
    assert probe.retried("upstream_rate_limited") == 1


async def test_what_is_kept_is_asked_for_once() -> None:
    async with probing(says(answer("429 Busy", BUSY, JSON_TYPE))) as (probe, peer):
        with pytest.raises(UpstreamRateLimited):
            await fetch(probe)
    assert len(peer.requests) == 1
    assert probe.retried("upstream_rate_limited") == 0


async def test_what_is_kept_is_counted_and_its_failure_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy = says(answer("429 Busy", BUSY, JSON_TYPE))
    gone = says(answer("404 Not Found", b""))
    async with probing(says(WELL), busy, gone) as (probe, _):
        await fetch(probe)
        with pytest.raises(UpstreamRateLimited):
            await fetch(probe)
        with pytest.raises(SearchNotFound):
            await fetch(probe)
    for result in ("ok", "upstream_rate_limited", "search_not_found"):
        assert probe.counted(result) == 1
    failed = [vars(one)["fields"] for one in caplog.records if one.name == "app.upstream"]
    assert [one["code"] for one in failed] == ["upstream_rate_limited", "search_not_found"]
    assert failed[0]["upstream"]["message"] == "Requests throttling triggered."


async def test_an_answer_without_end_is_ended_here() -> None:
    most = 4 * 65_536 + 1_048_576
    limits = {"upstream_max_event_bytes": 65_536, "search_max_bytes": most}
    endless = answer("200 OK", b"[" + b" " * most, JSON_TYPE)
    async with probing(says(endless), **limits) as (probe, _):
        with pytest.raises(UpstreamProtocol, match="SEARCH_MAX_BYTES"):
            await complete(probe)


async def test_only_the_whole_time_of_an_answer_is_bounded() -> None:
    """Nothing is heard of it while it is made, so no first event can be waited for."""
    async with probing(holds()) as (probe, peer):
        asking = asyncio.create_task(complete(probe))
        await peer.asked.wait()
        await settle()
        skip(200)
        await settle()
        assert not asking.done()
        skip(111)
        with pytest.raises(UpstreamTimeout, match="total"):
            await asking


async def test_a_body_that_stalls_is_a_time_out() -> None:
    async with probing(holds(HALF)) as (probe, peer):
        asking = asyncio.create_task(complete(probe))
        await peer.asked.wait()
        await settle(100)
        skip(181)
        with pytest.raises(UpstreamTimeout):
            await asking
