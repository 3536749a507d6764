"""An upstream that cannot be reached, goes on talking, or speaks oddly.

What the stand-in has a scenario for is in `test_scenarios` and `test_refusals`; here a scripted
peer sends what no scenario has.
"""

from typing import Any

import httpx
import pytest

from tests.clock import skipping_pauses
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
    failed,
)
from tests.e2e.asking import ASKED
from tests.peer import STREAM, answer, chunk, holds, says, stream
from tests.service import KEY, Running, fronting, running_against
from tests.waiting import hurried

JSON = "content-type: application/json"
EVENTS = "content-type: text/event-stream"
OPENED = STREAM + chunk(block(CREATED))
FLAT_BUSY = b'{"code":"Throttling","message":"Requests throttling triggered."}'


async def ask(service: Running, number: int = 0) -> httpx.Response:
    asked = ASKED | {"prompt": f"Question {number}"}
    return await service.http.post("/search", json=asked, timeout=None)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert KEY not in response.text
    assert ("retry-after" in response.headers) is (response.status_code == 503)
    return problem


NESTED = {"message": BUSY, "type": "x", "param": None, "code": "limit_requests"}
ENVELOPES: dict[str, bytes] = {
    "framed, called JSON": answer("429 Busy", b"data: " + data({"error": NESTED}), JSON),
    "a failed body": answer("200 OK", data(failed("server_error", BUSY)), JSON),
    "an error frame without a name": stream(b"data:" + FLAT_BUSY + b"\n\n"),
    "an error frame without its blank line": stream(b"event:error\ndata:" + FLAT_BUSY),
    "a status without a body": answer("503 Busy", b"", JSON),
}


async def test_a_throttle_in_any_envelope_is_tried_again_with_the_same_request() -> None:
    peers = [says(wire) for envelope in ENVELOPES.values() for wire in (envelope, stream(WIRE))]
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
    (b'{"code":7,"message":null}', ""),
    (b"[" * 60_000, "[" * 20),
    (f'{{"code":"x","message":"no {KEY} x"}}'.encode(), "no *** x"),
    (b'{"message":"no https://b.example/a?Sig=abc"}', "no https://b.example/a?\u2026"),
    (b'{"message":"no data:image/png;base64,iVBORw0KGgo= x"}', "no data:\u2026 x"),
]


async def test_a_body_is_reported_shortly_without_image_signature_or_key() -> None:
    peers = [says(answer("502 Bad", body, "x-request-id: from-the-header")) for body, _ in BODIES]
    async with fronting(*peers) as (service, _):
        for number, (_, message) in enumerate(BODIES):
            report = problem_of(await ask(service, number))["upstream"]
            assert report["request_id"] == "from-the-header"
            shown = report.get("message") or ""
            assert shown.startswith(message)
            assert bool(shown) is bool(message)
            assert len(shown) <= 1_000


SHORT, NO_KEY = b"\r\ncontent-length: 99\r\n\r\n{", b'{"code":"InvalidApiKey","message":"no"}'
BROKEN: dict[str, tuple[bytes, str]] = {
    "comments": (answer("200 OK", b": keep-alive\n\n", EVENTS), "upstream_interrupted"),
    "a failure as JSON, called events": (answer("200 OK", NO_KEY, EVENTS), "upstream_auth_failed"),
    "words": (answer("200 OK", b"hello"), "upstream_protocol"),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", "upstream_protocol"),
    "a broken status line": (f"HTTP/1.1 2OO {KEY}\r\n\r\n".encode(), "upstream_protocol"),
    "less than its length": (b"HTTP/1.1 200 OK" + SHORT, "upstream_interrupted"),
    "a refusal cut short": (b"HTTP/1.1 401 No" + SHORT, "upstream_auth_failed"),
    "a refusal called events": (answer("500 Bad", b"", EVENTS), "upstream_unavailable"),
    "a status of its own": (answer("418 Teapot", b"{}", JSON), "upstream_rejected"),
    "a redirect": (answer("307 Away", b"", "location: http://127.0.0.1:9/"), "upstream_rejected"),
    "a close between events": (OPENED, "upstream_interrupted"),
    "a cut in a chunk": (OPENED + b"50\r\nevent:a\ndata:{", "upstream_interrupted"),
    "a broken chunk": (OPENED + b"no chunk size\r\n", "upstream_interrupted"),
}


async def test_what_is_no_answer_fails_and_is_not_asked_for_again() -> None:
    peers = [says(wire) for wire, _ in BROKEN.values() for _ in range(2)]
    async with fronting(*peers) as (service, peer):
        for broken, (_, code) in BROKEN.items():
            assert problem_of(await ask(service))["code"] == code, broken
            _, events = await service.stream("GET", params=ASKED)
            assert KEY not in str(events)
            assert events[-1].json()["error"]["code"] == code, broken
        assert len(peer.requests) == 2 * len(BROKEN)


async def test_a_call_is_closed_behind_its_last_event_though_the_upstream_talks_on() -> None:
    late = chunk(block(COMPLETED) + block(delta("late"))) + chunk(block(CREATED))
    async with fronting(holds(OPENED, late)) as (service, peer):
        found = await ask(service)
        assert found.json()["status"] == "completed"
        assert "late" not in found.text
        await peer.left.wait()


async def test_a_connection_that_was_never_established_is_tried_three_times() -> None:
    async with running_against("http://127.0.0.1:9/v1") as service:
        with skipping_pauses() as pauses_s:
            problem = problem_of(await ask(service))
        assert (problem["code"], len(pauses_s)) == ("upstream_unavailable", 2)
        assert await service.metric("imagesearch_spend_cny_total") == 0


EMOJI = "\U0001f5fc"
HALVES = EMOJI.encode("utf-16-be")
HIGH, LOW = (HALVES[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
TITLED = call([{"title": HIGH, "url": "https://b.example/y.jpg"}])
ODD: list[tuple[list[Event], str, str]] = [
    # what has half a character in it; the last event, and what it shows of it
    ([delta(HIGH), delta(LOW)], "search.failed", EMOJI),
    ([completed(TITLED)], "search.completed", "\ufffd"),
]


@pytest.mark.parametrize(("events", "terminal", "shown"), ODD, ids=["text", "title"])
async def test_odd_text_neither_breaks_an_answer_nor_hides_its_end(
    events: list[Event], terminal: str, shown: str
) -> None:
    async with fronting(says(stream(*map(block, [CREATED, *events])))) as (service, _):
        _, streamed = await service.stream(json=ASKED)
        assert streamed[-1].event == terminal
        assert shown in streamed[-1].data
