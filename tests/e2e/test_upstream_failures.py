"""An upstream that fails in ways for which the stand-in has no scenario.

What is tried again is counted where the calls arrive: only what cannot have been billed.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.clock import skipping_pauses
from tests.e2e.asking import ASKED, GUARD_S, WAYS, Way, ask, fronting, outcome, request
from tests.e2e.peer import (
    CREATED,
    END,
    WELL,
    Part,
    Peer,
    answer,
    block,
    call,
    chunk,
    completed,
    delta,
    resets,
    says,
    serving,
    stream,
)
from tests.service import running, running_against

ANSWERS = says(stream(*WELL))
JSON = "content-type: application/json"
HTML = "content-type: text/html"
EVENTS = "content-type: text/event-stream"
PAGE = b"<html><head><title>Sorry</title></head><body>nginx</body></html>"
BUSY = {
    "status": "failed",
    "error": {
        "code": "server_error",
        "message": "Operation model request rate limit exceeded, please try again later.",
    },
}
BUSY_EVENT = block({"type": "response.failed", "response": BUSY})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "kind"), [(json.dumps(BUSY).encode(), JSON), (BUSY_EVENT, EVENTS)]
)
async def test_a_rate_limit_in_an_http_200_is_tried_again(body: bytes, kind: str, way: Way) -> None:
    busy = says(answer("200 OK", body, kind, "retry-after: 3"))
    async with fronting(busy, busy, ANSWERS) as (service, peer):
        assert (await outcome(service, way))["status"] == "completed"
        assert len(peer.requests) == 3
    async with fronting(busy) as (service, peer):
        problem = await outcome(service, way)
        assert (problem["code"], problem["retry_after"]) == ("upstream_rate_limited", 3)
        assert len(peer.requests) == 3


@pytest.mark.parametrize(
    ("status", "code", "calls"),
    [
        ("200 OK", "upstream_protocol", 1),
        ("403 Forbidden", "upstream_auth_failed", 1),
        ("404 Not Found", "upstream_rejected", 1),
        ("413 Content Too Large", "image_too_large", 1),
        ("429 Too Many Requests", "upstream_rate_limited", 3),
        ("500 Internal Server Error", "upstream_unavailable", 1),
        ("502 Bad Gateway", "upstream_unavailable", 1),
        ("503 Service Unavailable", "upstream_rate_limited", 3),
        ("504 Gateway Time-out", "upstream_unavailable", 1),
    ],
)
async def test_a_gateways_page_counts_by_its_status(status: str, code: str, calls: int) -> None:
    async with fronting(says(answer(status, PAGE, HTML))) as (service, peer):
        problem = await outcome(service, "POST /search/stream")
        assert problem["code"] == code
        assert "<html" not in problem["detail"]
        assert len(peer.requests) == calls


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Temporary Redirect"])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(status: str, way: Way) -> None:
    async with serving(ANSWERS) as elsewhere:
        moved = says(answer(status, b"", f"location: {elsewhere.url}/responses"))
        async with fronting(moved) as (service, peer):
            problem = await outcome(service, way)
            assert (problem["code"], problem["status"]) == ("upstream_rejected", 502)
            assert len(peer.requests) == 1
            assert elsewhere.requests == []


@pytest.mark.parametrize("way", WAYS)
async def test_what_comes_after_the_last_event_is_ignored_and_the_call_is_closed(way: Way) -> None:
    """The peer goes on talking, and would keep the connection open for ever."""
    late = chunk(block(completed()) + block(delta("late"))) + chunk(block(CREATED))
    async with fronting(says(stream(CREATED, end=b""), late, stays=True)) as (service, peer):
        result = await outcome(service, way)
        assert result["status"] == "completed"
        assert "late" not in str(result)
        await peer.left.wait()


async def test_events_after_the_last_one_are_not_relayed() -> None:
    async with running() as service:
        got = await ask(service, "POST /search/stream", "[sim after_terminal]")
    assert got.names[-2:] == ["response.completed", "search.completed"]
    assert got.names.count("response.completed") == 1


@pytest.mark.parametrize("way", [*WAYS, "POST /v1/responses"])
async def test_an_answer_that_begins_with_a_piece_of_text_and_breaks_is_charged(way: Any) -> None:
    async with fronting(says(stream(delta("word")))) as (service, _):
        if way in WAYS:
            await outcome(service, way)
        else:
            body = {"model": "qwen3.7-plus", "input": "Look", "stream": True}
            await service.http.post("/v1/responses", json=body)
        assert await service.metric("imagesearch_spend_cny_total") > 0
        assert await service.metric("imagesearch_first_event_seconds_count") == 1


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{sock.getsockname()[1]}/v1"


@contextmanager
def bound(backlog: int | None = None) -> Iterator[socket.socket]:
    """A port of our own, which refuses connections unless it listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if backlog is not None:
            sock.listen(backlog)
        yield sock


@contextmanager
def full() -> Iterator[socket.socket]:
    """A port whose queue is full: connecting to it takes for ever."""
    with bound(0) as sock, socket.create_connection(sock.getsockname()):
        yield sock


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("port", "code", "status", "detail"),
    [
        (bound, "upstream_unavailable", 502, ""),
        (full, "upstream_timeout", 504, " connect "),
    ],
    ids=["a closed port", "no answer"],
)
async def test_a_connection_that_was_never_established_is_tried_three_times(
    port: Callable[[], Any], code: str, status: int, detail: str, way: Way
) -> None:
    method, path = way.split(" ")
    asked = request(way, "Look")
    with port() as sock:
        async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
            with skipping_pauses() as pauses_s:
                got, events = await service.stream(method, path, timeout=None, **asked)
            problem = events[-1].json()["error"] if events else got.json()
            assert (problem["code"], problem["status"]) == (code, status)
            assert problem["retryable"]
            assert detail in problem["detail"]
            least_s = 0.7 + (3 * 5 if port is full else 0)
            assert least_s - 0.5 < sum(pauses_s) < least_s + 2
            assert await service.metric("imagesearch_spend_cny_total") == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_port_that_opens_meanwhile_gets_one_call(way: Way) -> None:
    peer = Peer((ANSWERS,))
    with bound() as sock:
        async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
            asking = asyncio.create_task(outcome(service, way))
            await service.until_metric("imagesearch_upstream_retries_total", 1)
            async with await asyncio.start_server(peer.serve, sock=sock):
                assert (await asking)["status"] == "completed"
                assert len(peer.requests) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_peer_that_speaks_no_tls_is_tried_three_times(way: Way) -> None:
    connections = 0

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with asyncio.timeout(GUARD_S):
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        async with server, running_against(url_of(server.sockets[0], "https")) as service:
            problem = await outcome(service, way)
    assert (problem["code"], problem["status"]) == ("upstream_unavailable", 502)
    assert connections == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", [resets, says(b"")], ids=["reset", "closed"])
async def test_a_connection_that_breaks_after_the_request_is_not_tried_again(
    part: Part, way: Way
) -> None:
    async with fronting(part, ANSWERS) as (service, peer):
        problem = await outcome(service, way)
        assert (problem["code"], problem["retryable"]) == ("upstream_unavailable", True)
        assert len(peer.requests) == 1


async def test_the_last_event_counts_though_the_connection_breaks_behind_it() -> None:
    async with fronting(says(stream(*WELL, end=b""))) as (service, _):
        assert (await outcome(service, "POST /search"))["status"] == "completed"
    async with fronting(says(stream(*WELL[:-1], end=END))) as (service, _):
        problem = await outcome(service, "POST /search")
        assert problem["code"] == "upstream_interrupted"
        assert problem["result"]["warnings"] == ["partial"]


EMOJI = "\U0001f5fc"
HALVES = EMOJI.encode("utf-16-be")
HIGH, LOW = (HALVES[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
FAILURE = {"code": "server_error", "message": f"no {HIGH}"}
FAILED = {"type": "response.failed", "response": {"status": "failed", "error": FAILURE}}
FOUND = {"title": HIGH, "url": "https://b.example/y.jpg", "index": 1}

ODD: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "an emoji cut between two deltas, then a break": (
        [CREATED, delta(HIGH), delta(LOW)],
        "search.failed",
        EMOJI,
    ),
    "half an emoji in a delta, then a break": ([CREATED, delta(HIGH)], "search.failed", "\ufffd"),
    "half an emoji in a title": ([CREATED, call(FOUND), completed()], "search.completed", "\ufffd"),
    "half an emoji in a failure": ([CREATED, FAILED], "search.failed", "\ufffd"),
    "more tokens than there are": (
        [CREATED, completed(usage={"input_tokens": 10**400, "output_tokens": 1})],
        "search.completed",
        '"input_tokens":0',
    ),
}


@pytest.mark.parametrize("case", ODD)
async def test_odd_text_neither_breaks_an_answer_nor_hides_its_end(case: str) -> None:
    events, terminal, part = ODD[case]
    async with fronting(says(stream(*events)), cache_ttl_s=0) as (service, _):
        _, streamed = await service.stream(json=ASKED)
        assert [event.event for event in streamed].count(terminal) == 1
        assert streamed[-1].event == terminal
        assert part in streamed[-1].data.replace(": ", ":")
        plain = await service.http.post("/search", json=ASKED)
        assert plain.status_code == (200 if terminal == "search.completed" else 502)
        state = await service.http.get(f"/search/{streamed[0].json()['search_id']}")
        assert state.status_code == 200
