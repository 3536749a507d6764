"""An upstream that cannot be reached, sends the key away, goes on talking, or speaks oddly."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.clock import skipping_pauses
from tests.dashscope import COMPLETED, CREATED, WIRE, Event, block, call, completed, delta, event
from tests.e2e.asking import ASKED, GUARD_S, WAYS, Way, request
from tests.peer import Part, Peer, answer, chunk, holds, says, serving, stream
from tests.service import Running, running_against

ANSWERS = says(stream(WIRE))


@asynccontextmanager
async def fronting(*parts: Part) -> AsyncGenerator[tuple[Running, Peer], None]:
    async with (
        asyncio.timeout(GUARD_S),
        serving(*parts) as peer,
        running_against(peer.url, cache_ttl_s=0) as service,
    ):
        yield service, peer


async def outcome(service: Running, way: Way) -> dict[str, Any]:
    method, path = way.split(" ")
    with skipping_pauses():
        response, events = await service.stream(method, path, timeout=None, **request(way, "Look"))
    last: dict[str, Any] = events[-1].json() if events else response.json()
    return last.get("error") or last


@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Temporary Redirect"])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(status: str) -> None:
    async with serving(ANSWERS) as elsewhere:
        moved = says(answer(status, b"", f"location: {elsewhere.url}/responses"))
        async with fronting(moved) as (service, peer):
            for way in WAYS:
                assert (await outcome(service, way))["code"] == "upstream_rejected"
            assert len(peer.requests) == len(WAYS)
            assert elsewhere.requests == []


async def test_a_call_is_closed_behind_its_last_event_though_the_upstream_talks_on() -> None:
    late = chunk(block(COMPLETED) + block(delta("late"))) + chunk(block(CREATED))
    open_end = stream(block(CREATED)).removesuffix(b"0\r\n\r\n")
    for way in WAYS:
        async with fronting(holds(open_end, late)) as (service, peer):
            result = await outcome(service, way)
            assert result["status"] == "completed"
            assert "late" not in str(result)
            await peer.left.wait()


def url_of(sock: socket.socket) -> str:
    return f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


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
        async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
            with skipping_pauses() as pauses_s:
                got = await service.http.post("/search", json=ASKED, timeout=None)
            assert (got.json()["code"], got.json()["retryable"]) == (code, True)
            assert (" connect " in got.json()["detail"]) is (port is full)
            assert least_s - 0.5 < sum(pauses_s) < least_s + 2
            assert await service.metric("imagesearch_spend_cny_total") == 0


EMOJI = "\U0001f5fc"
HALVES = EMOJI.encode("utf-16-be")
HIGH, LOW = (HALVES[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
FAILURE = {"code": "server_error", "message": f"no {HIGH}"}
ODD: dict[str, tuple[list[Event], str, str]] = {
    "an emoji cut between two deltas, then a break": (
        [delta(HIGH), delta(LOW)],
        "search.failed",
        EMOJI,
    ),
    "half an emoji in a title": (
        [completed(call([{"title": HIGH, "url": "https://b.example/y.jpg"}]))],
        "search.completed",
        "\ufffd",
    ),
    "half an emoji in a failure": (
        [event("response.failed", response={"status": "failed", "error": FAILURE})],
        "search.failed",
        "\ufffd",
    ),
}


@pytest.mark.parametrize("case", ODD)
async def test_odd_text_neither_breaks_an_answer_nor_hides_its_end(case: str) -> None:
    events, terminal, part = ODD[case]
    async with fronting(says(stream(*map(block, [CREATED, *events])))) as (service, _):
        _, streamed = await service.stream(json=ASKED)
        assert streamed[-1].event == terminal
        assert part in streamed[-1].data
        state = await service.http.get(f"/search/{streamed[0].json()['search_id']}")
        assert state.status_code == 200
