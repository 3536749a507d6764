"""An upstream that cannot be reached, sends the key away, goes on talking, or speaks oddly.

What the stand-in has a scenario for is in `test_scenarios` and `test_refusals`; here a scripted
peer sends what no scenario has.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.clock import settle, skip, skipping_pauses
from tests.dashscope import (
    BUSY,
    COMPLETED,
    CREATED,
    WIRE,
    Event,
    block,
    call,
    completed,
    data,
    delta,
    event,
    failed,
)
from tests.e2e.asking import ASKED, WAYS, Way, request
from tests.peer import STREAM, answer, chunk, holds, says, serving, stream
from tests.service import KEY, Running, fronting, running_against
from tests.waiting import hurried

JSON = "content-type: application/json"
EVENTS = "content-type: text/event-stream"
OPENED = STREAM + chunk(block(CREATED))
WELL = says(stream(WIRE))
FLAT_BUSY = b'{"code":"Throttling","message":"Requests throttling triggered."}'
CODES = {
    "invalid_request": (422, False),
    "image_too_large": (413, False),
    "upstream_auth_failed": (502, False),
    "upstream_rejected": (502, False),
    "upstream_protocol": (502, False),
    "upstream_interrupted": (502, True),
    "upstream_unavailable": (502, True),
    "upstream_rate_limited": (503, True),
    "upstream_timeout": (504, True),
}
"""The status of each error, and whether it may be tried again."""


async def ask(service: Running, number: int = 0) -> httpx.Response:
    asked = ASKED | {"prompt": f"Question {number}"}
    return await service.http.post("/search", json=asked, timeout=None)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert KEY not in response.text
    assert (response.status_code, problem["retryable"]) == CODES[problem["code"]]
    assert ("retry-after" in response.headers) is (response.status_code == 503)
    return problem


async def outcome(service: Running, way: Way) -> dict[str, Any]:
    """The result, or the problem."""
    method, path = way.split(" ")
    with skipping_pauses():
        response, events = await service.stream(method, path, timeout=None, **request(way, "Look"))
    last: dict[str, Any] = events[-1].json() if events else response.json()
    return last.get("error") or last


REFUSED, PREVIOUS = "upstream_rejected", "previous_response_id"
MESSAGES: list[tuple[int, str, str, str, str]] = [
    # HTTP status (200: in a failed event), code, message; the code of ours, and the field blamed
    (200, "server_error", "<503> InternalError.Algo: overloaded", "upstream_rate_limited", ""),
    (200, "InvalidParameter", "[400] missing_parameter: 'model'.", REFUSED, ""),
    (200, "x", "Invalid 'reasoning.effort': x", "invalid_request", "reasoning.effort"),
    (200, "x", "Not found previous_response_id: r", "invalid_request", PREVIOUS),
    (404, "", "Previous response with id 'r' not found.", "invalid_request", PREVIOUS),
    (200, "", "", "upstream_unavailable", ""),
    (413, "", "too big", "image_too_large", ""),
    (408, "", "slow", "upstream_timeout", ""),
    (418, "Teapot", "short and stout", REFUSED, ""),
]


def in_words(status: int, code: str, message: str) -> bytes:
    if status == 200:
        return stream(block(event("response.failed", response=failed(code, message))))
    body = {"request_id": "req-1", "code": code, "message": message}
    return answer(f"{status} Said", json.dumps(body).encode(), JSON)


async def test_a_failure_is_what_it_says_it_is() -> None:
    peers = [says(in_words(*row[:3])) for row in MESSAGES]
    async with fronting(*peers, upstream_retries=0) as (service, _):
        for number, (status, code, message, means, field) in enumerate(MESSAGES):
            problem = problem_of(await ask(service, number))
            assert problem["code"] == means, message
            assert [one["field"] for one in problem.get("errors", [])] == [field] * bool(field)
            assert not message or message not in problem["detail"]
            if status != 200:
                report = problem["upstream"]
                assert (report["status"], report["code"]) == (status, code or report["code"])
                assert (report["message"], report["request_id"]) == (message, "req-1")


NESTED = {"message": BUSY, "type": "x", "param": None, "code": "limit_requests"}
ENVELOPES: dict[str, bytes] = {
    "framed, called JSON": answer("429 Busy", b"data: " + data({"error": NESTED}), JSON),
    "a failed body": answer("200 OK", data(failed("server_error", BUSY)), JSON),
    "an error frame": stream(b"event:error\n:HTTP_STATUS/429\ndata:" + FLAT_BUSY + b"\n\n"),
    "an error frame without a name": stream(b"data:" + FLAT_BUSY + b"\n\n"),
    "an error frame without its blank line": stream(b"event:error\ndata:" + FLAT_BUSY),
    "a status without a body": answer("503 Busy", b"", JSON),
}


async def test_a_throttle_in_any_envelope_is_tried_again_with_the_same_request() -> None:
    peers = [peer for envelope in ENVELOPES.values() for peer in (says(envelope), WELL)]
    async with fronting(*peers) as (service, peer):
        for number, envelope in enumerate(ENVELOPES):
            found = await hurried(ask(service, number))
            assert found.json()["status"] == "completed", envelope
            assert peer.requests[-2] == peer.requests[-1]
        assert len(peer.requests) == 2 * len(ENVELOPES)


BODIES: list[tuple[bytes, str]] = [
    # a refusal's body, and how the message that is shown of it begins
    (b"<html>\n<body>Bad gateway</body></html>", "<html> <body>Bad gateway"),
    (b"\xff\xfe", "\ufffd\ufffd"),
    (b"[1]", "[1]"),
    (b"", ""),
    (b'{"code":7,"message":null}', ""),
    (b"[" * 60_000, "[" * 20),
    (b"x" * 200_000, "x" * 20),
    (f'{{"code":"x","message":"no {KEY} x"}}'.encode(), "no *** x"),
    (b'{"message":"no https://b.example/a?Sig=abc"}', "no https://b.example/a?\u2026"),
    (b'{"message":"no data:image/png;base64,iVBORw0KGgo= x"}', "no data:\u2026 x"),
]


async def test_a_body_is_reported_shortly_without_image_signature_or_key() -> None:
    header = "x-request-id: from-the-header"
    async with fronting(*(says(answer("502 Bad", body, header)) for body, _ in BODIES)) as (
        service,
        _,
    ):
        for number, (_, message) in enumerate(BODIES):
            problem = problem_of(await ask(service, number))
            assert problem["code"] == "upstream_unavailable"
            report = problem["upstream"]
            assert report["request_id"] == "from-the-header"
            shown = report.get("message") or ""
            assert shown.startswith(message)
            assert bool(shown) is bool(message)
            assert len(shown) <= 1_000


SHORT, NO_KEY = b"\r\ncontent-length: 99\r\n\r\n{", b'{"code":"InvalidApiKey","message":"no"}'
BROKEN: dict[str, tuple[bytes, str]] = {
    "blank lines": (answer("200 OK", b"\n\n", EVENTS), "upstream_interrupted"),
    "comments": (answer("200 OK", b": keep-alive\n\n", EVENTS), "upstream_interrupted"),
    "a failure as JSON, called events": (answer("200 OK", NO_KEY, EVENTS), "upstream_auth_failed"),
    "words": (answer("200 OK", b"hello"), "upstream_protocol"),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", "upstream_protocol"),
    "a header that is none": (b"HTTP/1.1 200 OK\r\na b c\r\n\r\n", "upstream_protocol"),
    "a broken status line": (f"HTTP/1.1 2OO {KEY}\r\n\r\n".encode(), "upstream_protocol"),
    "less than its length": (b"HTTP/1.1 200 OK" + SHORT, "upstream_interrupted"),
    "a refusal cut short": (b"HTTP/1.1 401 No" + SHORT, "upstream_auth_failed"),
    "a refusal called events": (answer("500 Bad", b"", EVENTS), "upstream_unavailable"),
    "a close between events": (OPENED, "upstream_interrupted"),
    "a cut in a chunk": (OPENED + b"50\r\nevent:a\ndata:{", "upstream_interrupted"),
    "a broken chunk": (OPENED + b"no chunk size\r\n", "upstream_interrupted"),
}


async def test_what_is_no_answer_fails_and_is_not_asked_for_again() -> None:
    async with fronting(*(says(wire) for wire, _ in BROKEN.values() for _ in range(2))) as (
        service,
        peer,
    ):
        for broken, (_, code) in BROKEN.items():
            assert problem_of(await ask(service))["code"] == code, broken
            _, events = await service.stream("GET", params=ASKED)
            assert KEY not in str(events)
            assert events[-1].json()["error"]["code"] == code, broken
        assert len(peer.requests) == 2 * len(BROKEN)


async def test_a_good_end_stays_good_whatever_comes_with_it() -> None:
    oversized = b"event:x\ndata:" + b"x" * 70_000 + b"\n\n"
    well = says(stream(block(CREATED), block(COMPLETED) + oversized))
    async with fronting(well, upstream_max_event_bytes=65_536) as (service, _):
        assert (await ask(service)).json()["status"] == "completed"


async def test_a_call_is_closed_behind_its_last_event_though_the_upstream_talks_on() -> None:
    late = chunk(block(COMPLETED) + block(delta("late"))) + chunk(block(CREATED))
    async with fronting(holds(OPENED, late), cache_ttl_s=0) as (service, peer):
        for way in WAYS:
            peer.left.clear()
            result = await outcome(service, way)
            assert result["status"] == "completed"
            assert "late" not in str(result)
            await peer.left.wait()


NOW = "date: Mon, 23 Nov 2026 10:00:00 GMT"
WAITS: dict[tuple[str, ...], int | None] = {
    ("retry-after: 27",): 27,
    ("retry-after: Mon, 23 Nov 2026 10:00:29 GMT", NOW): 29,
    ("retry-after: -1",): None,
    ("retry-after: 1.5",): None,
    ("retry-after: soon", NOW): None,
    (): None,
}


async def test_retry_after_is_seconds_or_a_date() -> None:
    peers = [says(answer("429 Busy", FLAT_BUSY, JSON, *headers)) for headers in WAITS]
    async with fronting(*peers, upstream_retries=0) as (service, _):
        for wait_s in WAITS.values():
            refused = await ask(service)
            told_s = int(refused.headers["retry-after"])
            assert problem_of(refused)["retry_after"] == told_s > 0
            assert wait_s in {None, told_s}


@pytest.mark.parametrize(
    ("status", "code"), [("401 No", "upstream_auth_failed"), ("200 OK", "upstream_timeout")]
)
async def test_a_refusal_whose_body_stalls_is_still_told(status: str, code: str) -> None:
    half = f"HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n{{".encode()
    async with fronting(holds(half)) as (service, peer):
        asking = asyncio.create_task(ask(service))
        await peer.asked.wait()
        await settle(200)
        skip(61)
        assert problem_of(await asking)["code"] == code


async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere() -> None:
    async with serving(WELL) as elsewhere:
        location = f"location: {elsewhere.url}/responses"
        statuses = ("301 Moved", "303 See Other", "307 Temporary Redirect")
        peers = [says(answer(status, b"", location)) for status in statuses]
        async with fronting(*peers, cache_ttl_s=0) as (service, peer):
            for way in WAYS:
                assert (await outcome(service, way))["code"] == "upstream_rejected"
            assert len(peer.requests) == len(WAYS)
            assert elsewhere.requests == []


@contextmanager
def bound(backlog: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if backlog is not None:
            sock.listen(backlog)
        yield sock


@contextmanager
def full() -> Iterator[socket.socket]:
    with bound(0) as sock, socket.create_connection(sock.getsockname()):
        yield sock


@pytest.mark.parametrize(
    ("port", "code", "least_s"),
    [(bound, "upstream_unavailable", 0.7), (full, "upstream_timeout", 0.7 + 3 * 5)],
)
async def test_a_connection_that_was_never_established_is_tried_three_times(
    port: Callable[[], Any], code: str, least_s: float
) -> None:
    with port() as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        async with running_against(url) as service:
            with skipping_pauses() as pauses_s:
                problem = problem_of(await ask(service))
            assert problem["code"] == code
            assert (" connect " in problem["detail"]) is (port is full)
            assert least_s - 0.5 < sum(pauses_s) < least_s + 2
            assert await service.metric("imagesearch_spend_cny_total") == 0


EMOJI = "\U0001f5fc"
HALVES = EMOJI.encode("utf-16-be")
HIGH, LOW = (HALVES[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
FAILURE = {"code": "server_error", "message": f"no {HIGH}"}
TITLED = call([{"title": HIGH, "url": "https://b.example/y.jpg"}])
ODD: list[tuple[list[Event], str, str]] = [
    # what has half a character in it; the last event, and what it shows of it
    ([delta(HIGH), delta(LOW)], "search.failed", EMOJI),
    ([completed(TITLED)], "search.completed", "\ufffd"),
    (
        [event("response.failed", response={"status": "failed", "error": FAILURE})],
        "search.failed",
        "\ufffd",
    ),
]


@pytest.mark.parametrize(("events", "terminal", "shown"), ODD, ids=["text", "title", "failure"])
async def test_odd_text_neither_breaks_an_answer_nor_hides_its_end(
    events: list[Event], terminal: str, shown: str
) -> None:
    async with fronting(says(stream(*map(block, [CREATED, *events])))) as (service, _):
        _, streamed = await service.stream(json=ASKED)
        assert streamed[-1].event == terminal
        assert shown in streamed[-1].data
        state = await service.http.get(f"/search/{streamed[0].json()['search_id']}")
        assert state.status_code == 200
