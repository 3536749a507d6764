"""Whatever stands between us and the model: gateways' pages, redirects, calls that do not end."""

import asyncio
import json
from typing import Any

import pytest

from tests.clock import settle, skip
from tests.e2e.asking import GUARD_S, WAYS, Pauses, Way, ask, fronting, outcome, quiet, request
from tests.service import Running, running
from tests.upstream.peer import END, answer, chunk, holds, says, serving, stream
from tests.upstream.transcript import COMPLETED, CREATED, WIRE, block, delta

COMMIT_S = 2.1
"""A little more than `STREAM_COMMIT_S`: by then a stream has begun."""
WELL = says(stream(WIRE))
OPENED = stream(block(CREATED)).removesuffix(END)
JSON = "content-type: application/json"
HTML = "content-type: text/html"
EVENTS = "content-type: text/event-stream"
PAGE = b"<html><head><title>Sorry</title></head><body>nginx</body></html>"
BUSY = json.dumps(
    {
        "status": "failed",
        "error": {
            "code": "server_error",
            "message": "Operation model request rate limit exceeded, please try again later.",
        },
    }
).encode()
BUSY_EVENT = b'event:response.failed\ndata:{"type":"response.failed","response":%b}\n\n' % BUSY


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("body", "kind"), [(BUSY, JSON), (BUSY_EVENT, EVENTS)])
async def test_a_rate_limit_in_an_http_200_is_tried_again_after_the_wait_it_asks_for(
    body: bytes, kind: str, way: Way
) -> None:
    busy = says(answer("200 OK", body, kind, "retry-after: 3"))
    with Pauses() as pauses:
        async with fronting(busy, busy, WELL) as (service, peer):
            told = await outcome(service, way)
            assert told["status"] == "completed"
            assert (len(peer.requests), pauses.lengths_s) == (3, [3, 3])
        async with fronting(busy) as (service, peer):
            told = await outcome(service, way)
            assert (told["code"], told["retry_after"]) == ("upstream_rate_limited", 3)
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
async def test_a_gateways_page_is_told_by_its_status(status: str, code: str, calls: int) -> None:
    with Pauses():
        async with fronting(says(answer(status, PAGE, HTML))) as (service, peer):
            told = await outcome(service, "POST /search/stream")
            assert told["code"] == code
            assert "<html" not in told["detail"]
            assert len(peer.requests) == calls


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Temporary Redirect"])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(status: str, way: Way) -> None:
    async with serving(WELL) as elsewhere:
        moved = says(answer(status, b"", f"location: {elsewhere.url}/responses"))
        async with fronting(moved) as (service, peer):
            told = await outcome(service, way)
            assert (told["code"], told["status"]) == ("upstream_rejected", 502)
            assert len(peer.requests) == 1
            assert elsewhere.requests == []


@pytest.mark.parametrize("way", WAYS)
async def test_what_comes_after_the_last_event_is_nobodys_and_the_connection_is_freed(
    way: Way,
) -> None:
    """The peer goes on talking, and would keep the connection open for ever."""
    late = chunk(block(COMPLETED) + block(delta("late"))) + chunk(block(CREATED))
    async with fronting(holds(OPENED, late)) as (service, peer):
        told = await outcome(service, way)
        assert told["status"] == "completed"
        assert "late" not in str(told)
        await peer.left.wait()


async def test_events_after_the_last_one_are_not_relayed() -> None:
    async with running() as service:
        told = await ask(service, "POST /search/stream", "[sim after_terminal]")
    assert told.names[-2:] == ["response.completed", "search.completed"]
    assert told.names.count("response.completed") == 1


async def leave(service: Running, way: Way, prompt: str) -> None:
    """Ask, wait until the upstream has said all that it will, and hang up."""
    method, path = way.split(" ")
    headers = {"Accept": "text/event-stream"}
    asked: dict[str, Any] = request(way, prompt) | {"headers": headers, "timeout": None}
    asking = asyncio.create_task(service.http.request(method, path, **asked))
    await service.record.until(lambda record: record.open == 1)
    await quiet(service)
    skip(COMMIT_S)
    await quiet(service)
    asking.cancel()
    await asyncio.wait({asking})
    await settle(100)


@pytest.mark.parametrize("prompt", ["[sim hang]", "[sim stall_before_first]", "[sim stall]"])
async def test_a_caller_who_leaves_a_plain_search_closes_the_upstream_call(prompt: str) -> None:
    async with asyncio.timeout(GUARD_S), running() as service:
        await leave(service, "POST /search", prompt)
        await service.record.idle()
        assert service.record.calls[-1].finished == "client_gone"


@pytest.mark.parametrize("prompt", ["[sim hang]", "[sim stall_before_first]", "[sim stall]"])
@pytest.mark.parametrize("way", ["POST /search/stream", "GET /search/stream"])
async def test_a_caller_who_leaves_a_stream_closes_the_upstream_call_after_the_linger(
    way: Way, prompt: str
) -> None:
    async with asyncio.timeout(GUARD_S), running() as service:
        await leave(service, way, prompt)
        skip(20)
        await settle(100)
        assert service.record.open == 1
        skip(11)
        await service.record.idle()
        assert service.record.calls[-1].finished == "client_gone"


@pytest.mark.parametrize("prompt", ["[sim hang]", "[sim stall]", "[sim endless pace=1]"])
async def test_stopping_a_search_closes_the_upstream_call(prompt: str) -> None:
    async with asyncio.timeout(GUARD_S), running() as service:
        asking = asyncio.create_task(ask(service, "GET /search/stream", prompt))
        await service.record.until(lambda record: record.open == 1)
        await quiet(service)
        (search_id,) = service.service.runs._runs
        stopped = await service.http.delete(f"/search/{search_id}")
        told = await asking
        assert told.names[-1] == "search.cancelled"
        assert told.result == stopped.json()
        assert told.result["status"] == "cancelled"


@pytest.mark.parametrize("way", [*WAYS, "POST /v1/responses"])
async def test_an_answer_that_begins_with_a_piece_of_text_and_breaks_is_charged(way: Any) -> None:
    async with fronting(says(stream(block(delta("word"))))) as (service, _):
        if way in WAYS:
            await outcome(service, way)
        else:
            asked = {"model": "qwen3.7-plus", "input": "Look", "stream": True}
            await service.http.post("/v1/responses", json=asked)
        metrics = service.service.metrics
        assert metrics.spend_cny._value.get() > 0
        assert metrics.registry.get_sample_value("imagesearch_first_event_seconds_count") == 1
        assert service.service.intake.memory.used_bytes == 0
