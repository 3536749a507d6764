import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import respx

from app.errors import (
    ImageTooLarge,
    Overloaded,
    ServiceError,
    UpstreamAuthFailed,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.models import Event
from app.settings import load
from app.telemetry import Metrics
from app.upstream.client import WRITE_BYTES, Upstream
from app.upstream.transport import PooledTransport
from tests.clock import settle, skip
from tests.upstream.peer import (
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
from tests.upstream.transcript import (
    COMPLETED,
    CREATED,
    DONE,
    EVENTS,
    FAILED,
    THROTTLED,
    WIRE,
    block,
    delta,
    event,
)

KEY = "sk-0123456789abcdef"
PAYLOAD = b'{"model": "m", "input": "the prompt"}'
OPENED = STREAM + chunk(block(CREATED))
WELL = says(stream(WIRE))
JSON_TYPE = "content-type: application/json"
BUSY = b'{"code":"Throttling","message":"Requests throttling triggered."}'


class Probe:
    """An `Upstream` under test, with what it gave and counted."""

    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport | None = None, **settings: Any
    ) -> None:
        given = {
            "_env_file": None,
            "dashscope_api_key": KEY,
            "dashscope_base_url": url,
            "allow_anonymous": True,
            "upstream_retry_total_s": 0,
            **settings,
        }
        self.settings = load(**given)
        self.metrics = Metrics()
        self.transport = transport or PooledTransport()
        self.pauses = 0
        self.upstream = Upstream(self.transport, self.settings, self.metrics, random=self._unlucky)
        self.events: list[Event] = []
        self.first = asyncio.Event()

    def _unlucky(self) -> float:
        """Drawn right before a pause, which then takes no time."""
        self.pauses += 1
        asyncio.get_running_loop().call_soon(skip, 8)
        return 0

    async def call(self, payload: bytes = PAYLOAD) -> ServiceError | None:
        """Read to the end; the error that ended it, if one did."""
        ended: ServiceError | None = None
        try:
            await self.upstream.relay([payload], self.take)
        except ServiceError as error:
            ended = error
        assert KEY not in repr(ended and (ended.detail, ended.upstream, ended.told_by))
        return ended

    def take(self, events: Sequence[Event]) -> None:
        self.events += events
        self.first.set()

    async def fails(self, kind: type[ServiceError]) -> ServiceError:
        error = await self.call()
        assert type(error) in {kind, *kind.__subclasses__()}
        assert error
        return error

    def counted(self, result: str) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "imagesearch_upstream_calls_total", {"result": result}
            )
            or 0
        )

    def retried(self, reason: str) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "imagesearch_upstream_retries_total", {"reason": reason}
            )
            or 0
        )


@asynccontextmanager
async def probing(*parts: Part, **settings: Any) -> AsyncGenerator[tuple[Probe, Peer], None]:
    async with serving(*parts) as peer:
        probe = Probe(peer.url, **settings)
        try:
            yield probe, peer
        finally:
            await probe.transport.aclose()


async def test_the_events_are_relayed_byte_for_byte_in_their_order() -> None:
    async with probing(WELL) as (probe, _):
        assert await probe.call() is None
        assert probe.events == EVENTS
        assert probe.counted("ok") == 1


async def test_the_request_bears_the_key_and_asks_for_plain_events() -> None:
    async with probing(WELL) as (probe, peer):
        await probe.call()
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == "post /v1/responses http/1.1"
    assert body == PAYLOAD
    assert headers["authorization"] == f"bearer {KEY}"
    assert headers["accept"] == "text/event-stream"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-type"] == "application/json"
    assert not headers.keys() & {"transfer-encoding", "cookie"}


async def test_megabytes_of_images_arrive_whole() -> None:
    payload = b'{"image": "' + b"A" * 5_000_000 + b'"}'
    async with probing(WELL) as (probe, peer):
        assert await probe.call(payload) is None
        assert peer.requests[0].endswith(payload)


@pytest.mark.parametrize("end", [0, 1, WRITE_BYTES - 5, WRITE_BYTES - 4])
async def test_the_parts_of_a_large_request_arrive_in_their_order(end: int) -> None:
    sizes = (3, 2 * WRITE_BYTES - 3, 0, WRITE_BYTES + 1, 2, 1, end)
    payload = [bytes([number]) * size for number, size in enumerate(sizes)]
    whole = b"".join(payload)
    async with probing(WELL) as (probe, peer):
        await probe.upstream.relay(payload, probe.take)
        head, _, body = peer.requests[0].partition(b"\r\n\r\n")
        assert body == whole
        assert f"content-length: {len(whole)}" in head.decode().lower()


async def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    body = stream(WIRE, headers=b"set-cookie: a=b\r\nconnection: close\r\n")
    async with probing(says(body)) as (probe, peer):
        await probe.call()
        await probe.call()
    assert len(peer.requests) == 2
    assert b"cookie" not in peer.requests[1].lower()


async def test_nothing_after_the_last_event_is_waited_for() -> None:
    async with probing(holds(OPENED, chunk(block(COMPLETED) + block(delta("late"))))) as (
        probe,
        peer,
    ):
        assert await probe.call() is None
        assert probe.events == [CREATED, COMPLETED]
        await peer.left.wait()


async def test_an_incomplete_answer_is_a_good_end() -> None:
    last = event("response.incomplete", response={"status": "incomplete"})
    async with probing(says(stream(block(CREATED), block(last)))) as (probe, _):
        assert await probe.call() is None
        assert probe.events[-1] == last
        assert probe.counted("ok") == 1


async def test_an_echoed_key_is_hidden_wherever_it_stands() -> None:
    echo = event("response.output_text.delta", delta=f"it is {KEY}")
    async with probing(says(stream(block(echo), block(COMPLETED)))) as (probe, _):
        await probe.call()
        assert probe.events[0].data == echo.data.replace(KEY.encode(), b"***")
    body = json.dumps({"code": "InvalidApiKey", "message": f"bad key {KEY}"}).encode()
    async with probing(says(answer("401 No", body, JSON_TYPE))) as (probe, _):
        error = await probe.fails(UpstreamAuthFailed)
        assert error.upstream
        assert error.upstream.message == "bad key ***"


# How an answer breaks


@pytest.mark.parametrize(
    ("tail", "kind", "words"),
    [
        (b"", UpstreamInterrupted, "without its last event"),
        (chunk(b"id:2\nevent:resp"), UpstreamInterrupted, "inside an event"),
        (chunk(b'event:a\ndata:{"type":'), UpstreamInterrupted, "inside an event"),
        (b"50\r\nevent:a\ndata:{", UpstreamInterrupted, "inside an event"),
        (chunk(b"event:a\ndata:1\n\n"), UpstreamInterrupted, "without its last event"),
        (chunk(b"data:" + b"x" * 70_000), UpstreamProtocol, "over the limit"),
    ],
)
async def test_an_answer_that_breaks_off_is_told_apart_from_one_that_ends(
    tail: bytes, kind: type[ServiceError], words: str
) -> None:
    part = says_then(OPENED, tail)
    async with probing(part, upstream_max_event_bytes=65_536) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await probe.first.wait()
        peer.go_on.set()
        error = await call
    assert type(error) is kind
    assert words in error.detail
    assert probe.events[0] == CREATED
    assert probe.counted(kind.code) == 1
    assert len(peer.requests) == 1


async def test_a_reset_in_mid_answer_is_an_interruption_and_not_tried_again() -> None:
    async with probing(resets_after(OPENED)) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await probe.first.wait()
        peer.go_on.set()
        assert type(await call) is UpstreamInterrupted
    assert probe.events == [CREATED]
    assert len(peer.requests) == 1


async def test_a_last_event_without_its_blank_line_counts() -> None:
    async with probing(says(stream(block(CREATED), block(COMPLETED).rstrip()))) as (probe, _):
        assert await probe.call() is None
        assert probe.events == [CREATED, COMPLETED]


async def test_a_cut_at_their_time_limit_is_called_so() -> None:
    body = stream(block(CREATED), headers=b"X-DashScope-PartialResponse: true\r\n")
    async with probing(says(body)) as (probe, _):
        assert "at a time limit" in (await probe.fails(UpstreamInterrupted)).detail


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", UpstreamInterrupted),
        (b"\n\n", UpstreamInterrupted),
        (b": keep-alive\n\n", UpstreamInterrupted),
        (b"<html>Sorry</html>", UpstreamProtocol),
        (b'{"code":"InvalidApiKey","message":"no"}', UpstreamAuthFailed),
    ],
)
async def test_a_stream_without_events_is_judged_by_its_bytes(
    body: bytes, kind: type[ServiceError]
) -> None:
    part = says(answer("200 OK", body, "content-type: text/event-stream"))
    async with probing(part) as (probe, _):
        await probe.fails(kind)
        assert probe.counted(kind.code) == 1


@pytest.mark.parametrize("reset", [resets_after(b""), says()], ids=["reset", "closed"])
async def test_a_connection_that_breaks_before_the_answer_is_not_tried_again(reset: Part) -> None:
    async with probing(reset, WELL) as (probe, peer):
        error = await probe.fails(UpstreamUnavailable)
        assert type(error) is UpstreamUnavailable
        assert len(peer.requests) == 1


@pytest.mark.parametrize("text", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\na b c\r\n\r\n"])
async def test_a_peer_that_speaks_no_http_breaks_the_protocol(text: bytes) -> None:
    async with probing(says(text)) as (probe, _):
        await probe.fails(UpstreamProtocol)


async def test_a_failure_that_an_event_tells_is_raised_and_not_given_out() -> None:
    async with probing(says(stream(block(CREATED), block(FAILED), block(DONE)))) as (probe, _):
        error = await probe.fails(UpstreamRejected)
        assert error.told_by == tuple(FAILED)
        assert probe.events == [CREATED]


async def test_a_flat_error_frame_is_raised_with_its_status() -> None:
    frame = b"id:2\nevent:error\n:HTTP_STATUS/429\ndata:" + BUSY + b"\n\n"
    async with probing(says(stream(block(CREATED), frame))) as (probe, peer):
        error = await probe.fails(UpstreamRateLimited)
        assert error.told_by is None
        assert len(peer.requests) == 1


# Answers that are no streams


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer("400 Bad", b'{"code":"x","message":"y"}', JSON_TYPE), UpstreamRejected),
        (answer("401 No", b"", JSON_TYPE), UpstreamAuthFailed),
        (answer("502 Bad", b"<html>", "content-type: text/html"), UpstreamUnavailable),
        (answer("500 Bad", b"", "content-type: text/event-stream"), UpstreamUnavailable),
        (answer("307 Go", b"", "location: http://elsewhere.example/"), UpstreamRejected),
        (answer("200 OK", b"<html>", "content-type: text/html"), UpstreamProtocol),
        (answer("200 OK", b"hello"), UpstreamProtocol),
        (answer("200 OK", b'{"status":"completed"}', JSON_TYPE), UpstreamProtocol),
        (
            answer(
                "200 OK",
                b'{"status":"failed","error":{"code":"InvalidApiKey","message":"x"}}',
                JSON_TYPE,
            ),
            UpstreamAuthFailed,
        ),
        (answer("500 Bad", b"x" * 200_000), UpstreamUnavailable),
        (b"HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\n{", UpstreamAuthFailed),
    ],
)
async def test_a_refusal_is_told_by_status_and_body(
    response: bytes, kind: type[ServiceError]
) -> None:
    async with probing(says(response)) as (probe, peer):
        await probe.fails(kind)
        assert len(peer.requests) == 1


async def test_a_broken_body_under_a_good_status_is_an_interruption() -> None:
    async with probing(says(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")) as (probe, _):
        await probe.fails(UpstreamInterrupted)


async def test_a_refusal_during_the_upload_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer("413 Too large", b"{}"))
        await reader.read()

    async with listening(refuse) as port:
        probe = Probe(f"http://127.0.0.1:{port}/v1")
        error = await probe.call(b"x" * 5_000_000)
        await probe.transport.aclose()
    assert type(error) is ImageTooLarge


# Time-outs


async def timed_out(probe: Probe, peer: Peer, seconds: float, *, opened: bool) -> ServiceError:
    """Call, wait until the peer is silent, and put the clock forward."""
    call = asyncio.create_task(probe.call())
    await (probe.first.wait() if opened else peer.asked.wait())
    await settle()
    skip(seconds - 2)
    await settle()
    assert not call.done()
    skip(3)
    error = await call
    assert type(error) is UpstreamTimeout
    await peer.left.wait()
    assert len(peer.requests) == 1
    assert probe.counted("upstream_timeout") == 1
    return error


@pytest.mark.parametrize("text", [b"", STREAM, STREAM + chunk(b": wait\n")])
async def test_no_first_event_in_time_is_a_time_out_that_is_not_tried_again(text: bytes) -> None:
    async with probing(holds(text)) as (probe, peer):
        error = await timed_out(probe, peer, 60, opened=False)
    assert "first event" in error.detail


async def test_silence_inside_an_answer_is_an_idle_time_out() -> None:
    async with probing(holds(OPENED)) as (probe, peer):
        error = await timed_out(probe, peer, 180, opened=True)
    assert "idle" in error.detail
    assert probe.events == [CREATED]


async def test_a_broken_chunk_is_an_interruption() -> None:
    async with probing(says_then(OPENED, b"no chunk size\r\n")) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await probe.first.wait()
        peer.go_on.set()
        assert type(await call) is UpstreamInterrupted


@pytest.mark.parametrize("text", [b"", OPENED])
async def test_the_whole_answer_has_a_time_out_too(text: bytes) -> None:
    limits = {"upstream_first_event_timeout_s": 0, "upstream_idle_timeout_s": 0}
    async with probing(holds(text), **limits) as (probe, peer):
        error = await timed_out(probe, peer, 310, opened=bool(text))
    assert "total" in error.detail


async def test_zero_switches_every_time_out_off() -> None:
    names = ("connect", "first_event", "idle", "total")
    limits = {f"upstream_{name}_timeout_s": 0 for name in names}
    part = says_then(OPENED, chunk(block(COMPLETED)) + END)
    async with probing(part, **limits) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await probe.first.wait()
        skip(1_000_000)
        await settle()
        peer.go_on.set()
        assert await call is None


async def test_a_slow_reader_is_not_the_upstreams_silence() -> None:
    async with probing(says(stream(WIRE)), upstream_total_timeout_s=0) as (probe, _):
        await probe.upstream.relay([PAYLOAD], lambda _: skip(200))
        assert probe.counted("ok") == 1


async def test_a_refusal_whose_body_stalls_is_still_told() -> None:
    async with probing(holds(b"HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\n{")) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await peer.asked.wait()
        await settle()
        skip(61)
        assert type(await call) is UpstreamAuthFailed


async def test_a_good_status_whose_body_stalls_is_a_time_out() -> None:
    async with probing(holds(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await peer.asked.wait()
        await settle()
        skip(61)
        assert type(await call) is UpstreamTimeout


# Tried again


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def test_a_closed_port_is_tried_again_and_then_told() -> None:
    probe = Probe(f"http://127.0.0.1:{free_port()}/v1")
    error = await probe.fails(UpstreamUnavailable)
    await probe.transport.aclose()
    assert not error.may_be_billed
    assert probe.counted("upstream_unavailable") == 3
    assert probe.retried("upstream_unavailable") == 2


async def test_an_unknown_host_is_tried_again() -> None:
    probe = Probe("http://nowhere.invalid/v1", upstream_retries=1)
    await probe.fails(UpstreamUnavailable)
    await probe.transport.aclose()
    assert probe.retried("upstream_unavailable") == 1


async def test_a_peer_that_speaks_no_tls_is_tried_again() -> None:
    async def garble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(garble) as port:
        probe = Probe(f"https://127.0.0.1:{port}/v1", upstream_retries=1)
        await probe.fails(UpstreamUnavailable)
        await probe.transport.aclose()
    assert probe.retried("upstream_unavailable") == 1


async def test_a_connect_time_out_is_tried_again_and_names_its_phase() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        probe = Probe(f"http://127.0.0.1:{port}/v1", upstream_retries=1)
        call = asyncio.create_task(probe.call())
        while not call.done():
            await settle()
            skip(1)
        error = await call
        await probe.transport.aclose()
        for one in waiting:
            one.close()
    assert isinstance(error, UpstreamTimeout)
    assert "connect" in error.detail
    assert not error.may_be_billed
    assert probe.retried("upstream_timeout") == 1


@pytest.mark.parametrize(
    "busy",
    [
        answer("429 Busy", BUSY, JSON_TYPE),
        answer("503 Busy", b"", JSON_TYPE),
        stream(block(THROTTLED)),
        stream(b"event:error\n:HTTP_STATUS/429\ndata:" + BUSY + b"\n\n"),
        stream(b"data:" + BUSY + b"\n\n"),
    ],
)
async def test_a_throttled_call_is_made_again(busy: bytes) -> None:
    async with probing(says(busy), WELL) as (probe, peer):
        assert await probe.call() is None
    assert probe.events == EVENTS
    assert peer.requests[0] == peer.requests[1]
    assert probe.counted("upstream_rate_limited") == probe.counted("ok") == 1
    assert probe.retried("upstream_rate_limited") == 1


async def test_a_throttle_that_stays_is_told_after_the_last_try() -> None:
    async with probing(says(answer("429 Busy", BUSY, "retry-after: 3"))) as (probe, peer):
        error = await probe.fails(UpstreamRateLimited)
    assert error.retry_after_s == 3
    assert len(peer.requests) == 3


async def test_a_retry_after_in_a_200_that_does_not_fit_gives_up_at_once() -> None:
    body = stream(block(THROTTLED), headers=b"Retry-After: 21\r\n")
    async with probing(says(body), upstream_retry_total_s=20) as (probe, peer):
        error = await probe.fails(UpstreamRateLimited)
    assert error.retry_after_s == 21
    assert error.told_by == tuple(THROTTLED)
    assert len(peer.requests) == 1


async def test_a_throttle_after_the_first_event_is_not_tried_again() -> None:
    async with probing(says(stream(block(CREATED), block(THROTTLED)))) as (probe, peer):
        await probe.fails(UpstreamRateLimited)
    assert len(peer.requests) == 1
    assert probe.pauses == 0


async def test_a_500_may_be_billed_and_is_not_tried_again() -> None:
    async with probing(says(answer("500 Bad", b'{"code":"InternalError","message":""}'))) as (
        probe,
        peer,
    ):
        await probe.fails(UpstreamUnavailable)
    assert len(peer.requests) == 1


# Leaving


async def test_leaving_closes_the_connection_at_once() -> None:
    async with probing(holds(OPENED)) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await probe.first.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await peer.left.wait()
        assert probe.counted("cancelled") == 1


async def test_whoever_takes_no_more_ends_the_call_with_its_own_error() -> None:
    def refuse(_: Sequence[Event]) -> None:
        raise Overloaded("No more room.")

    async with probing(holds(OPENED)) as (probe, peer):
        with pytest.raises(Overloaded):
            await probe.upstream.relay([PAYLOAD], refuse)
        await peer.left.wait()
        assert probe.counted("overloaded") == 1
    assert len(peer.requests) == 1


async def test_what_a_taker_raises_is_not_taken_for_a_broken_connection() -> None:
    def refuse(_: Sequence[Event]) -> None:
        raise ConnectionResetError("somebody else's")

    async with probing(holds(OPENED)) as (probe, peer):
        with pytest.raises(ConnectionResetError, match="somebody else's"):
            await probe.upstream.relay([PAYLOAD], refuse)
        await peer.left.wait()


async def test_leaving_before_the_answer_closes_the_connection_too() -> None:
    async with probing(holds()) as (probe, peer):
        call = asyncio.create_task(probe.call())
        await peer.asked.wait()
        call.cancel()
        await peer.left.wait()
        assert call.cancelled()
        assert probe.counted("cancelled") == 1


async def test_the_last_event_ends_the_call_whatever_the_connection_does_then() -> None:
    async with probing(holds(OPENED, chunk(block(COMPLETED)))) as (probe, peer):
        assert await probe.call() is None
        assert probe.events[-1] == COMPLETED
        await peer.left.wait()
        assert probe.counted("ok") == 1


# What operators see


async def test_failures_and_retries_are_logged_without_key_or_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = json.dumps({"code": "Throttling", "message": f"{KEY} is throttled"}).encode()
    with caplog.at_level(logging.DEBUG, logger="app"):
        async with probing(says(answer("429 Busy", body)), WELL) as (probe, _):
            await probe.call()
    records = [record for record in caplog.records if record.name == "app.upstream"]
    fields = [getattr(record, "fields", {}) for record in records]
    assert [record.getMessage() for record in records] == [
        "upstream call failed",
        "upstream call is tried again",
    ]
    assert fields[0]["upstream"]["message"] == "*** is throttled"
    assert fields[1] == {
        "attempt": 1,
        "wait_s": 0.25,
        "elapsed_s": fields[1]["elapsed_s"],
        "reason": "upstream_rate_limited",
    }
    assert KEY not in repr(fields)
    assert "the prompt" not in repr(fields)


@contextmanager
def failures(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What is logged of calls that failed."""
    told: list[dict[str, Any]] = []
    with caplog.at_level(logging.WARNING, logger="app.upstream"):
        yield told
    failed = [one for one in caplog.records if one.getMessage() == "upstream call failed"]
    told.extend(one.__dict__["fields"] for one in failed)
    assert KEY not in repr(told)
    assert "the prompt" not in repr(told)


@pytest.mark.parametrize(
    ("scheme", "host", "why"),
    [
        ("http", "127.0.0.1", "ConnectionRefusedError(111"),
        ("http", "nowhere.invalid", "gaierror("),
        ("https", "localhost", "SSL"),
    ],
)
async def test_why_no_connection_came_about_is_logged(
    scheme: str, host: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here")

    with failures(caplog) as told:
        async with listening(talk) as talking:
            port = talking if scheme == "https" else free_port()
            probe = Probe(f"{scheme}://{host}:{port}/v1", upstream_retries=0)
            await probe.fails(UpstreamUnavailable)
            await probe.transport.aclose()
    assert why in told[0]["cause"]
    assert told[0]["cause"].startswith("ConnectError(")


async def test_what_breaks_http_is_logged_without_what_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with failures(caplog) as told:
        async with probing(says(f"HTTP/1.1 2OO {KEY}\r\n\r\n".encode())) as (probe, _):
            await probe.fails(UpstreamProtocol)
    assert "Invalid" in told[0]["cause"]


async def test_a_refusal_has_no_other_cause(caplog: pytest.LogCaptureFixture) -> None:
    with failures(caplog) as told:
        async with probing(says(answer("401 No", b"", JSON_TYPE))) as (probe, _):
            await probe.fails(UpstreamAuthFailed)
    assert "cause" not in told[0]


async def test_a_bug_on_the_way_is_counted_as_ours() -> None:
    with respx.mock as router:
        router.post("https://upstream.example/v1/responses").mock(side_effect=RuntimeError)
        probe = Probe("https://upstream.example/v1", httpx.AsyncHTTPTransport())
        with pytest.raises(RuntimeError):
            await probe.call()
        await probe.transport.aclose()
    assert probe.counted("internal") == 1


async def test_a_broken_transport_of_no_known_cause_is_not_tried_again() -> None:
    with respx.mock as router:
        route = router.post("https://upstream.example/v1/responses")
        route.mock(side_effect=httpx.WriteError("unknown"))
        probe = Probe("https://upstream.example/v1", httpx.AsyncHTTPTransport())
        await probe.fails(UpstreamUnavailable)
        await probe.transport.aclose()
    assert route.call_count == 1


async def test_the_payload_is_let_go_of_at_the_first_event_and_kept_for_another_try() -> None:
    payload = [PAYLOAD[:10], PAYLOAD[10:]]
    held = [len(payload)]
    async with probing(says(stream(block(THROTTLED))), WELL) as (probe, peer):
        await probe.upstream.relay(payload, lambda _: held.append(len(payload)))
    assert held[0] == 2
    assert not any(held[1:])
    assert [request.partition(b"\r\n\r\n")[2] for request in peer.requests] == [PAYLOAD] * 2
