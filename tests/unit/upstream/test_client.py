"""The client, with httpx mocked: what is retried, counted and called billed."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import respx

from app.errors import ServiceError
from app.models import UpstreamCall
from app.settings import load
from app.telemetry import Metrics
from app.upstream.client import UpstreamClient
from tests.clock import settle, skip, skipping_pauses
from tests.dashscope import CREATED, EVENTS, FAILED, THROTTLED, WIRE, block
from tests.peer import STREAM, Peer, Reader, Writer, answers, chunk, holds, serving, stream

URL = "https://upstream.example/v1"
KEY = "sk-0123456789"
SSE = {"content-type": "text/event-stream;charset=UTF-8"}


class Caller:
    """Makes calls, and holds what comes of them."""

    def __init__(self, client: UpstreamClient, metrics: Metrics) -> None:
        self.client = client
        self.registry = metrics.registry
        self.call = UpstreamCall()
        self.payload = [b'{"model": ', b'"x"}']
        self.events: list[Any] = []

    async def stream(self) -> None:
        async with aclosing(self.client.stream(self.payload, self.call)) as batches:
            async for batch in batches:
                self.events += batch

    async def fails(self) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            await self.stream()
        return caught.value

    @property
    def counts(self) -> dict[str, float]:
        samples = next(
            one.samples for one in self.registry.collect() if one.name.endswith("upstream_calls")
        )
        counted = [one for one in samples if one.name.endswith("total") and one.value]
        return {one.labels["result"]: one.value for one in counted}


@asynccontextmanager
async def calling(url: str = URL, **settings: Any) -> AsyncGenerator[Caller, None]:
    metrics = Metrics("1")
    known = {"dashscope_api_key": KEY, "dashscope_base_url": url, "allow_anonymous": True}
    client = UpstreamClient(load(**known, **settings), metrics)
    yield Caller(client, metrics)
    await client.aclose()


@pytest.fixture
def upstream() -> Iterator[respx.Route]:
    with respx.mock(using="httpx") as router:
        yield router.post(f"{URL}/responses")


class Wire(httpx.AsyncByteStream):
    """A body that httpx has not read yet, as those of a `content` have been."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def replies(status: int, body: bytes = b"{}", /, **headers: str) -> Callable[[Any], httpx.Response]:
    return lambda _: httpx.Response(status, headers=headers, stream=Wire(body))


def streamed(*events: Any, tail: bytes = b"") -> Callable[[Any], httpx.Response]:
    return replies(200, b"".join(block(one) for one in events) + tail, **SSE)


async def test_events_are_relayed_the_payload_is_let_go_of_and_cookies_are_not_kept(
    upstream: respx.Route,
) -> None:
    cookie = {"set-cookie": "a=b"}
    upstream.side_effect = replies(200, WIRE + block(CREATED), **SSE, **cookie)
    async with calling() as caller:
        await Caller(caller.client, Metrics("1")).stream()
        await caller.stream()
        assert caller.events == EVENTS
        assert (caller.payload, caller.call.written) == ([], True)
        assert caller.counts == {"ok": 2}
    request = upstream.calls.last.request
    assert request.content == b'{"model": "x"}'
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == "14"
    assert "cookie" not in request.headers


@pytest.mark.parametrize(
    ("failure", "code", "billed", "attempts", "counted"),
    [
        (httpx.ConnectError("refused"), "upstream_unavailable", "no", 3, 0),
        (httpx.ConnectTimeout("slow"), "upstream_timeout", "no", 3, 0),
        (httpx.WriteError("cut"), "upstream_unavailable", "no", 3, 0),
        (httpx.ReadError("cut"), "upstream_unavailable", "maybe", 1, 1),
        (httpx.RemoteProtocolError("odd"), "upstream_protocol", "maybe", 1, 1),
        (replies(429), "upstream_rate_limited", "no", 3, 3),
        (streamed(THROTTLED), "upstream_rate_limited", "no", 3, 3),
        (streamed(FAILED), "upstream_rejected", "no", 1, 1),
        (replies(500), "upstream_unavailable", "maybe", 1, 1),
        (streamed(CREATED, THROTTLED), "upstream_rate_limited", "maybe", 1, 1),
        (streamed(CREATED), "upstream_interrupted", "maybe", 1, 1),
        (streamed(tail=b'data:{"type":"a\\nb"}\n\n'), "upstream_protocol", "maybe", 1, 1),
        (streamed(tail=b"event:search.x\ndata:{}\n\n"), "upstream_protocol", "maybe", 1, 1),
    ],
)
async def test_only_what_cannot_be_billed_is_tried_again(  # noqa: PLR0917 - columns of a table
    upstream: respx.Route, failure: Any, code: str, billed: str, attempts: int, counted: int
) -> None:
    upstream.side_effect = failure
    async with calling() as caller:
        with skipping_pauses() as pauses_s:
            error = await caller.fails()
        assert (error.code, error.billed) == (code, billed)
        assert caller.call.written is (billed == "maybe")
        assert (upstream.call_count, len(pauses_s)) == (attempts, attempts - 1)
        assert caller.counts == ({code: counted} if counted else {})


NOT_FOUND = {"error": {"message": "Response with id 'r' not found."}}


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_a_stored_response_that_is_gone_is_not_found_and_asked_for_once(status: int) -> None:
    with respx.mock(using="httpx") as router:
        route = router.get(f"{URL}/responses/r", params={"limit": "3"})
        route.side_effect = replies(status, json.dumps(NOT_FOUND).encode())
        async with calling() as caller:
            with pytest.raises(ServiceError) as caught:
                await caller.client.fetch("GET", "/responses/r", {"limit": "3"})
            assert (caught.value.code, route.call_count) == ("search_not_found", 1)


SILENT = STREAM + chunk(b": comment\n\n")
BEGUN = STREAM + chunk(block(CREATED))
WHOLE_ALONE = {"upstream_first_event_timeout_s": 0, "upstream_idle_timeout_s": 0}


@pytest.mark.parametrize(
    ("wire", "settings", "after_s", "phase"),
    [
        (b"", {}, 60, "first event"),
        (SILENT, {}, 60, "first event"),
        (BEGUN, {}, 180, "idle"),
        (BEGUN, WHOLE_ALONE, 310, "total"),
    ],
)
async def test_silence_ends_in_a_time_out_that_names_its_phase(
    wire: bytes, settings: dict[str, Any], after_s: float, phase: str
) -> None:
    async with serving(holds(wire)) as peer, calling(peer.url, **settings) as caller:
        asking = asyncio.create_task(caller.fails())
        await peer.asked.wait()
        await settle(200)
        skip(after_s - 1)
        await settle()
        assert not asking.done()
        skip(2)
        error = await asking
        assert (error.code, error.billed) == ("upstream_timeout", "maybe")
        assert phase in error.detail
        await peer.left.wait()


async def test_an_upload_that_stalls_is_a_time_out_that_cannot_be_billed() -> None:
    async def handle(peer: Peer, _: Reader, __: Writer) -> None:
        peer.asked.set()
        await peer.go_on.wait()

    async with serving(handle) as peer, calling(peer.url) as caller:
        caller.payload = [b"x" * 100_000_000]
        asking = asyncio.create_task(caller.fails())
        await peer.asked.wait()
        skip(61)
        error = await asking
        assert (error.code, error.billed, caller.counts) == ("upstream_timeout", "no", {})
        peer.go_on.set()


@pytest.mark.parametrize(("idle_s", "connections"), [(9, 1), (11, 2)])
async def test_an_idle_connection_is_closed_after_ten_seconds(
    idle_s: float, connections: int
) -> None:
    async with serving(answers(stream(WIRE))) as peer, calling(peer.url) as caller:
        for _ in range(2):
            caller.payload = [b"{}"]
            await caller.stream()
            skip(idle_s)
            await settle()
        assert peer.connections == connections
