"""What a caller is told when the upstream fails, whatever bytes it sends and wherever it stops.

What the stand-in has a scenario for is in `test_scenarios.py` and `test_refusals.py`; here a
scripted peer sends what no scenario has.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from tests.clock import settle, skip
from tests.dashscope import (
    BUSY,
    COMPLETED,
    CREATED,
    DONE,
    FAILED,
    THROTTLED,
    WIRE,
    block,
    delta,
    event,
    failed,
)
from tests.e2e.callers import ASKED
from tests.e2e.money import spent
from tests.peer import (
    END,
    STREAM,
    Part,
    Peer,
    answer,
    chunk,
    holds,
    listening,
    resets_after,
    says,
    says_then,
    serving,
    stream,
)
from tests.service import KEY, Running, read_events, running_against
from tests.waiting import hurried
from tests.wire import EVENT_STREAM

GUARD_S = 1_000
"""On the loop's clock, over what is skipped."""
JSON = "content-type: application/json"
EVENTS = "content-type: text/event-stream"
OPENED = STREAM + chunk(block(CREATED))
WELL = says(stream(WIRE))
FLAT_BUSY = b'{"code":"Throttling","message":"Requests throttling triggered."}'
Json = dict[str, Any]


class Means(NamedTuple):
    """What a failure is for the caller."""

    status: int
    code: str
    retryable: bool


INTERRUPTED = Means(502, "upstream_interrupted", True)
PROTOCOL = Means(502, "upstream_protocol", False)
UNAVAILABLE = Means(502, "upstream_unavailable", True)
REJECTED = Means(502, "upstream_rejected", False)
AUTH = Means(502, "upstream_auth_failed", False)
BUSY_NOW = Means(503, "upstream_rate_limited", True)
TIMED_OUT = Means(504, "upstream_timeout", True)
INVALID = Means(422, "invalid_request", False)
TOO_LARGE = Means(413, "image_too_large", False)
BLOCKED = Means(422, "content_blocked", False)


@asynccontextmanager
async def fronting(*parts: Part, **settings: Any) -> AsyncGenerator[tuple[Running, Peer], None]:
    """The service in front of a peer that answers by these parts."""
    async with (
        asyncio.timeout(GUARD_S),
        serving(*parts) as peer,
        running_against(peer.url, **settings) as service,
    ):
        yield service, peer


async def ask(service: Running, number: int = 0) -> httpx.Response:
    asked = ASKED | {"prompt": f"Question {number}"}
    return await service.http.post("/search", json=asked, timeout=None)


async def stream_events(service: Running) -> tuple[list[str], Json]:
    """The names of a stream's events, and the problem in the last one."""
    _, events = await service.stream("GET", params=ASKED, timeout=None)
    assert KEY not in str(events)
    return [one.event for one in events], events[-1].json().get("error", {})


def problem_of(response: httpx.Response) -> tuple[Means, Json]:
    problem = response.json()
    assert KEY not in response.text
    assert problem["status"] == response.status_code
    assert ("retry-after" in response.headers) is (response.status_code == 503)
    return Means(problem["status"], problem["code"], problem["retryable"]), problem


# A failure in words


MESSAGES: list[tuple[int, str, str, Means, str]] = [
    # HTTP status (200: in a failed response), code, message, meaning, and the field that it blames
    (200, "server_error", BUSY, BUSY_NOW, ""),
    (200, "server_error", "<429> InternalError.Algo: [Too many requests.]", BUSY_NOW, ""),
    (200, "server_error", "<503> InternalError.Algo: overloaded", BUSY_NOW, ""),
    (200, "server_error", "Backend buffer overflow.", UNAVAILABLE, ""),
    (200, "server_error", "<400> InternalError.Algo.DataInspectionFailed: no", BLOCKED, ""),
    (200, "InvalidParameter", "<400> InternalError.Algo.InvalidParameter: a tool", REJECTED, ""),
    (200, "InvalidParameter", "[400] missing_required_parameter: 'model'.", REJECTED, ""),
    (200, "InvalidParameter", "Invalid 'max_output_tokens': 1.", INVALID, "max_output_tokens"),
    (200, "InvalidParameter", "Invalid 'reasoning.effort': bogus.", INVALID, "reasoning.effort"),
    (
        200,
        "InvalidParameter",
        "Not found previous_response_id: resp_1",
        INVALID,
        "previous_response_id",
    ),
    (404, "", "Previous response with id 'resp_1' not found.", INVALID, "previous_response_id"),
    (400, "InvalidParameter", "Range of input length should be [1, 9]", INVALID, "prompt"),
    (400, "InvalidParameter", "Range of max_tokens should be [1, 9]", INVALID, "max_output_tokens"),
    (200, "", "", UNAVAILABLE, ""),
    (401, "NOT AUTHORIZED", "Access denied: Either you are not authorized.", AUTH, ""),
    (403, "Workspace.AccessDenied", "Workspace access denied.", AUTH, ""),
    (405, "Method Not Allowed", "Method 'GET' is not allowed.", REJECTED, ""),
    (404, "Not Found", "Not support", REJECTED, ""),
    (413, "", "too big", TOO_LARGE, ""),
    (408, "", "slow", TIMED_OUT, ""),
    (429, "AllocationQuota", "Allocated quota exceeded.", BUSY_NOW, ""),
    (429, "insufficient_quota", "You exceeded your current quota.", BUSY_NOW, ""),
    (429, "PostpaidBillOverdue", "Overdue.", Means(502, "upstream_account", False), ""),
    (403, "AccessDenied.Unpurchased", "Denied.", Means(502, "upstream_account", False), ""),
    (500, "InternalError.Algo", "'agent_api_metadata'", UNAVAILABLE, ""),
    (500, "RequestTimeOut", "Request timed out, please try again later.", TIMED_OUT, ""),
    (503, "ModelUnavailable", "Too many requests.", BUSY_NOW, ""),
    (418, "Teapot", "short and stout", REJECTED, ""),
]


def in_words(status: int, code: str, message: str) -> bytes:
    if status == 200:
        return stream(block(event("response.failed", response=failed(code, message))))
    body = {"request_id": "req-1", "code": code, "message": message}
    return answer(f"{status} Said", json.dumps(body).encode(), JSON)


async def test_a_failure_is_what_it_says_it_is() -> None:
    parts = [says(in_words(status, code, message)) for status, code, message, *_ in MESSAGES]
    async with fronting(*parts, upstream_retries=0) as (service, peer):
        for number, (status, code, message, means, field) in enumerate(MESSAGES):
            found, problem = problem_of(await ask(service, number))
            assert found == means, message
            assert [one["field"] for one in problem.get("errors", [])] == [field] * bool(field)
            assert not message or message not in problem["detail"]
            if status != 200:
                report = problem["upstream"]
                assert (report["status"], report["code"]) == (status, code or report["code"])
                assert (report["message"], report["request_id"]) == (message, "req-1")
        assert len(peer.requests) == len(MESSAGES)


NESTED = {"message": BUSY, "type": "x", "param": None, "code": "limit_requests"}
ENVELOPES: dict[str, bytes] = {
    "flat": answer("429 Busy", FLAT_BUSY, JSON),
    "nested": answer("429 Busy", json.dumps({"error": NESTED}).encode(), JSON),
    "framed, called JSON": answer(
        "429 Busy", b"data: " + json.dumps({"error": NESTED}).encode(), JSON
    ),
    "a failed body": answer("200 OK", json.dumps(failed("server_error", BUSY)).encode(), JSON),
    "a failed event": stream(block(THROTTLED)),
    "an error frame": stream(b"event:error\n:HTTP_STATUS/429\ndata:" + FLAT_BUSY + b"\n\n"),
    "an error frame without a name": stream(b"data:" + FLAT_BUSY + b"\n\n"),
    "an error frame without its blank line": stream(
        b"event:error\n:HTTP_STATUS/429\ndata:" + FLAT_BUSY
    ),
    "an error event": stream(
        b'event:error\ndata:{"type":"error","code":"Throttling","message":"slow"}\n\n'
    ),
    "a status without a body": answer("503 Busy", b"", JSON),
}


@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_a_throttle_in_any_envelope_is_tried_again_with_the_same_request(
    envelope: str,
) -> None:
    async with fronting(says(ENVELOPES[envelope]), WELL) as (service, peer):
        found = await hurried(ask(service))
        assert found.json()["status"] == "completed"
        assert peer.requests[0] == peer.requests[1]
        assert len(peer.requests) == 2


async def test_where_nothing_more_is_known_the_report_says_what_the_body_said() -> None:
    bodies: dict[bytes, str | None] = {
        b"<html>\n<body>Bad gateway</body></html>": "<html> <body>Bad gateway</body></html>",
        b"\xff\xfe": "\ufffd\ufffd",
        b"[1]": "[1]",
        b"": None,
        b'{"code":7,"message":null}': None,
        b"[" * 60_000: "[" * 20,
        b"x" * 200_000: "x" * 20,
    }
    header = "x-request-id: from-the-header"
    parts = [says(answer("502 Bad", body, header)) for body in bodies]
    async with fronting(*parts) as (service, _):
        for number, (body, message) in enumerate(bodies.items()):
            means, problem = problem_of(await ask(service, number))
            assert means == UNAVAILABLE, body[:20]
            report = problem["upstream"]
            assert report["request_id"] == "from-the-header"
            shown = report.get("message")
            assert (shown or "")[:40] == (message or "")[:40] or shown[:20] == message
            assert len(shown or "") <= 1_000


async def test_a_message_is_shown_without_image_signature_or_key() -> None:
    message = f"cannot read data:image/png;base64,iVBORw0KGgo= or https://b.example/a?Sig=abc {KEY}"
    body = json.dumps({"code": "InvalidApiKey", "message": message + " x" * 900}).encode()
    async with fronting(says(answer("401 No", body, JSON))) as (service, _):
        means, problem = problem_of(await ask(service))
        assert means == AUTH
        shown = problem["upstream"]["message"]
        for secret in ("iVBORw0KGgo", "Sig=abc", KEY):
            assert secret not in shown
        assert "***" in shown
        assert len(shown) <= 1_000


async def test_an_echoed_key_is_hidden_in_events_wherever_they_are_cut() -> None:
    text = block(delta(f"it is {KEY} again")) + block(COMPLETED)
    for place in (1, text.index(KEY.encode()) + 7, len(text) - 1):
        part = says(OPENED, chunk(text[:place]), chunk(text[place:]), END)
        async with fronting(part) as (service, _):
            _, events = await service.stream("GET", params=ASKED)
            [shown] = [one.json()["delta"] for one in events if one.event.endswith(".delta")]
            assert shown == "it is *** again"


# An answer that is none


BROKEN: dict[str, tuple[bytes, Means]] = {
    "no event at all": (answer("200 OK", b"", EVENTS), INTERRUPTED),
    "blank lines": (answer("200 OK", b"\n\n", EVENTS), INTERRUPTED),
    "comments": (answer("200 OK", b": keep-alive\n\n", EVENTS), INTERRUPTED),
    "a page": (answer("200 OK", b"<html>Sorry</html>", EVENTS), PROTOCOL),
    "a failure as JSON, called events": (
        answer("200 OK", b'{"code":"InvalidApiKey","message":"no"}', EVENTS),
        AUTH,
    ),
    "an answer that is no stream": (answer("200 OK", b'{"status":"completed"}', JSON), PROTOCOL),
    "words": (answer("200 OK", b"hello"), PROTOCOL),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", PROTOCOL),
    "a header that is none": (b"HTTP/1.1 200 OK\r\na b c\r\n\r\n", PROTOCOL),
    "a broken status line": (f"HTTP/1.1 2OO {KEY}\r\n\r\n".encode(), PROTOCOL),
    "less than its length": (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", INTERRUPTED),
    "a refusal cut short": (b"HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\n{", AUTH),
    "a refusal called events": (answer("500 Bad", b"", EVENTS), UNAVAILABLE),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_what_is_no_answer_fails_and_is_not_asked_for_again(broken: str) -> None:
    wire, means = BROKEN[broken]
    async with fronting(says(wire)) as (service, peer):
        found, _ = problem_of(await ask(service))
        assert found == means
        names, problem = await stream_events(service)
        assert names == ["search.created", "search.failed"]
        assert problem["code"] == means.code
        assert len(peer.requests) == 2


TAILS: dict[str, tuple[bytes, Means]] = {
    "an end between events": (END, INTERRUPTED),
    "a close between events": (b"", INTERRUPTED),
    "a cut in a name": (chunk(b"id:2\nevent:resp"), INTERRUPTED),
    "a cut in data": (chunk(b'event:a\ndata:{"type":'), INTERRUPTED),
    "a cut in a chunk": (b"50\r\nevent:a\ndata:{", INTERRUPTED),
    "a broken chunk": (b"no chunk size\r\n", INTERRUPTED),
    "an event that is too large": (chunk(b"data:" + b"x" * 70_000), PROTOCOL),
    "a throttle": (chunk(block(THROTTLED)) + END, BUSY_NOW),
    "a failure": (chunk(block(FAILED) + block(DONE)) + END, REJECTED),
    "an error frame": (
        chunk(b"event:error\n:HTTP_STATUS/429\ndata:" + FLAT_BUSY + b"\n\n") + END,
        BUSY_NOW,
    ),
}


@pytest.mark.parametrize("tail", TAILS)
async def test_an_answer_that_breaks_off_is_told_and_not_asked_for_again(tail: str) -> None:
    rest, means = TAILS[tail]
    part = says_then(OPENED, rest)
    async with fronting(part, upstream_max_event_bytes=65_536) as (service, peer):
        problem = await broken_off(service, peer)
        assert (problem["status"], problem["code"], problem["retryable"]) == means
        assert len(peer.requests) == 1


async def broken_off(service: Running, peer: Peer) -> Json:
    """The problem that ends a stream whose upstream goes on once its first event was read."""
    how = service.http.stream("GET", "/search/stream", params=ASKED, headers=EVENT_STREAM)
    async with how as response:
        events = read_events(response)
        names = [(await anext(events)).event]
        while names[-1] != "response.created":
            names.append((await anext(events)).event)
        peer.go_on.set()
        rest = [one async for one in events]
    assert rest[-1].event == "search.failed"
    problem: Json = rest[-1].json()["error"]
    return problem


async def test_a_reset_in_the_middle_is_an_interruption() -> None:
    async with fronting(resets_after(OPENED)) as (service, peer):
        problem = await broken_off(service, peer)
        assert problem["code"] == "upstream_interrupted"
        assert len(peer.requests) == 1


async def test_a_good_end_stays_good_whatever_comes_with_it() -> None:
    oversized = b"event:x\ndata:" + b"x" * 70_000 + b"\n\n"
    part = says(stream(block(CREATED), block(COMPLETED) + oversized))
    async with fronting(part, upstream_max_event_bytes=65_536) as (service, _):
        assert (await ask(service)).json()["status"] == "completed"


async def test_a_refusal_during_the_upload_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer("413 Too large", b"{}"))
        await reader.read()

    limits: Json = {"prompt_max_chars": 0, "body_max_bytes": 0}
    async with (
        listening(refuse) as port,
        running_against(f"http://127.0.0.1:{port}/v1", **limits) as service,
    ):
        asked = ASKED | {"prompt": "x" * 900_000}
        refused = await service.http.post("/search", json=asked)
        assert refused.json()["code"] == "image_too_large"


# Tried again


async def test_a_throttle_that_stays_is_told_after_the_last_try_and_the_waits_asked_for() -> None:
    busy = says(answer("429 Busy", FLAT_BUSY, JSON, "retry-after: 3"))
    async with fronting(busy) as (service, peer):
        means, problem = problem_of(await hurried(ask(service)))
        assert (means, problem["retry_after"]) == (BUSY_NOW, 3)
        first, second, third = peer.times_s
        assert second - first >= 3
        assert third - second >= 3


async def test_a_wait_that_does_not_fit_is_left_to_the_caller() -> None:
    body = stream(block(THROTTLED), headers=b"Retry-After: 21\r\n")
    async with fronting(says(body), upstream_retry_total_s=20) as (service, peer):
        means, problem = problem_of(await ask(service))
        assert (means, problem["retry_after"]) == (BUSY_NOW, 21)
        assert len(peer.requests) == 1


NOW = "date: Mon, 23 Nov 2026 10:00:00 GMT"
WAITS: dict[tuple[str, ...], int | None] = {
    ("retry-after: 27",): 27,
    ("retry-after: Mon, 23 Nov 2026 10:00:29 GMT", NOW): 29,
    ("retry-after: -1",): None,
    ("retry-after: 1.5",): None,
    ("retry-after: soon", NOW): None,
    (): None,
}


@pytest.mark.parametrize("headers", WAITS)
async def test_retry_after_is_seconds_or_a_date(headers: tuple[str, ...]) -> None:
    async with fronting(
        says(answer("429 Busy", FLAT_BUSY, JSON, *headers)), upstream_retries=0
    ) as (service, _):
        refused = await ask(service)
        _, problem = problem_of(refused)
        if WAITS[headers] is not None:
            assert problem["retry_after"] == WAITS[headers]
        assert int(refused.headers["retry-after"]) > 0


# Time-outs


async def silent(service: Running, peer: Peer, *, after_s: float) -> Json:
    """Ask, let the peer fall silent, and put the clock just before and just behind the limit."""
    asking = asyncio.create_task(service.stream("GET", params=ASKED, timeout=None))
    await peer.asked.wait()
    await settle(200)
    skip(after_s - 2)
    await settle(100)
    assert not asking.done()
    skip(3)
    _, events = await asking
    await peer.left.wait()
    assert events[-1].event == "search.failed"
    problem: Json = events[-1].json()["error"]
    assert (problem["status"], problem["code"], problem["retryable"]) == TIMED_OUT
    assert len(peer.requests) == 1
    return problem


PHASES: dict[str, tuple[bytes, dict[str, int], float, str]] = {
    # what has come, the settings, when it is over in seconds, and the phase that is named
    "no answer": (b"", {}, 60, "first event"),
    "headers alone": (STREAM, {}, 60, "first event"),
    "comments alone": (STREAM + chunk(b": wait\n"), {}, 60, "first event"),
    "an answer that stops": (OPENED, {}, 180, "idle"),
    "no answer, and only the whole bounded": (
        b"",
        {"upstream_first_event_timeout_s": 0, "upstream_idle_timeout_s": 0},
        310,
        "total",
    ),
    "an answer that stops, and only the whole bounded": (
        OPENED,
        {"upstream_first_event_timeout_s": 0, "upstream_idle_timeout_s": 0},
        310,
        "total",
    ),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_time_out_names_its_phase_and_closes_the_connection(phase: str) -> None:
    text, limits, after_s, name = PHASES[phase]
    async with fronting(holds(text), **limits, stream_progress_s=0) as (service, peer):
        problem = await silent(service, peer, after_s=after_s)
        assert name in problem["detail"]


@pytest.mark.parametrize(("status", "means"), [("401 No", AUTH), ("200 OK", TIMED_OUT)])
async def test_a_refusal_whose_body_stalls_is_still_told(status: str, means: Means) -> None:
    half = f"HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n{{".encode()
    async with fronting(holds(half)) as (service, peer):
        asking = asyncio.create_task(ask(service))
        await peer.asked.wait()
        await settle(200)
        skip(61)
        found, _ = problem_of(await asking)
        assert found == means


async def test_the_call_is_closed_when_its_only_caller_leaves() -> None:
    for text in (b"", OPENED):
        async with fronting(holds(text)) as (service, peer):
            asking = asyncio.create_task(ask(service))
            await peer.asked.wait()
            await settle(50)
            asking.cancel()
            await peer.left.wait()


async def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    well = says(stream(WIRE, headers=b"set-cookie: a=1\r\n"))
    async with fronting(well) as (service, peer):
        for number in range(2):
            await ask(service, number)
        heads = [request.partition(b"\r\n\r\n")[0].lower() for request in peer.requests]
        for head in heads:
            assert b"cookie" not in head
            assert b"\r\nauthorization: bearer " + KEY.encode() in head
            assert b"\r\naccept: text/event-stream" in head


@pytest.mark.parametrize("backlog", [None, 0], ids=["refused", "never accepted"])
async def test_a_connection_that_was_never_established_costs_nothing(backlog: int | None) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        waiting = contextlib.ExitStack()
        if backlog is not None:
            sock.listen(backlog)
            waiting.enter_context(socket.create_connection(sock.getsockname()))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        with waiting:
            async with running_against(url, upstream_retries=0) as service:
                means, _ = problem_of(await hurried(ask(service)))
                assert means == (UNAVAILABLE if backlog is None else TIMED_OUT)
                assert await spent(service) == 0
