"""The transport over real sockets: what its errors say of the request, and when it is kept."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvloop

from app.upstream.transport import HEAD_MAX_BYTES, Transport
from tests.clock import SkippingLoop, settle
from tests.peer import Peer, Reader, Writer, answers, chunk, cuts, holds, response, says, serving

LARGE = b"x" * 24_000_000
"""More than the kernel buffers between two sockets."""
PIECE = 1_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Pieces:
    """A large body in pieces, and how many were asked for."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), PIECE):
            self.taken += 1
            yield LARGE[start : start + PIECE]


@pytest.fixture(scope="module", params=[SkippingLoop, uvloop.new_event_loop], ids=["asyncio", "uv"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": request.param}


@asynccontextmanager
async def client(tls: ssl.SSLContext | None = None) -> AsyncGenerator[httpx.AsyncClient, None]:
    transport = Transport(tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    async with httpx.AsyncClient(transport=transport, timeout=10, trust_env=False) as one:
        yield one


async def post(url: str, content: Any = b"hello") -> httpx.Response:
    async with client() as http:
        size = len(LARGE) if isinstance(content, Pieces) else len(content)
        return await http.post(url, content=content, headers={"Content-Length": str(size)})


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("n_bytes", "error"),
    [
        *((n_bytes, httpx.WriteError) for n_bytes in (0, 1, PIECE, 5 * PIECE + 7)),
        *((len(LARGE) - left, httpx.ReadError) for left in (0, 1, 1000)),
    ],
)
async def test_a_cut_is_a_write_error_until_the_request_was_written_and_then_a_read_error(
    n_bytes: int, error: type[httpx.TransportError], *, reset: bool
) -> None:
    async with serving(cuts(n_bytes, reset=reset)) as peer:
        with pytest.raises(error):
            await post(peer.url, Pieces())


async def test_where_nobody_listens_nothing_is_sent() -> None:
    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        with pytest.raises(httpx.ConnectError):
            await post(url)


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    async with serving(answers(response(b"ok"))) as peer, client() as http:
        for name, value in (("x", "a\r\nb: c"), ("x", "a\nb: c"), ("x\r", "a")):
            with pytest.raises(httpx.LocalProtocolError):
                await http.get(peer.url, headers={name: value})
    assert not peer.connections


async def test_a_handshake_that_takes_too_long_is_a_connect_time_out() -> None:
    async with serving(holds()) as peer, client() as http:
        with pytest.raises(httpx.ConnectTimeout):
            await http.get(f"https://127.0.0.1:{peer.port}/", timeout=0.05)


BODIES = {
    "length": response(b"hello world"),
    "chunked": CHUNKED + chunk(b"hello ") + chunk(b"world") + chunk(b""),
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhello world",
    "interim": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + response(b"hello world"),
    "trailer": CHUNKED + chunk(b"hello world") + chunk(b"")[:-2] + b"late: 1\r\n\r\n",
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_the_same_wherever_its_bytes_are_cut(name: str) -> None:
    wire = BODIES[name]
    for cut in range(1, len(wire), 3):
        async with serving(says(wire[:cut], wire[cut:])) as peer:
            answer = await post(peer.url)
            assert (answer.status_code, answer.content) == (200, b"hello world")
            assert not {"link", "late"} & set(answer.headers)


NO_ANSWERS = {
    "another protocol": b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 16 * HEAD_MAX_BYTES,
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_a_protocol_error(name: str) -> None:
    async with serving(holds(NO_ANSWERS[name])) as peer:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(peer.url)


@pytest.mark.parametrize(
    ("wire", "connections"),
    [
        (response(b"ok"), 1),
        (CHUNKED + chunk(b"ok") + chunk(b""), 1),
        (response(b"ok", "connection: close"), 2),
        (response(b"ok") * 2, 2),
    ],
)
async def test_a_connection_is_kept_when_it_may_be(wire: bytes, connections: int) -> None:
    async with serving(answers(wire)) as peer, client() as http:
        for _ in range(2):
            assert (await http.post(peer.url, content=b"x")).content == b"ok"
            await settle()
        assert peer.connections == connections


async def test_a_kept_connection_that_was_closed_is_not_used() -> None:
    async with serving(says(response(b"ok"))) as peer, client() as http:
        for _ in range(3):
            peer.left.clear()
            assert (await http.post(peer.url, content=b"x")).content == b"ok"
            await peer.left.wait()
            await settle()
        assert peer.connections == 3


async def test_a_kept_connection_that_closes_under_the_request_is_replaced_once() -> None:
    first = cuts(0, reset=True, first=response(b"first"))
    async with serving(first, says(response(b"second"))) as peer, client() as http:
        assert (await http.post(peer.url, content=b"x")).content == b"first"
        headers = {"Content-Length": str(len(LARGE))}
        answer = await http.post(peer.url, content=Pieces(), headers=headers)
        assert (answer.content, peer.connections) == (b"second", 2)
        assert peer.requests[1].endswith(LARGE)


async def test_a_kept_connection_that_closes_behind_the_request_is_not_replaced() -> None:
    first = cuts(1, reset=True, first=response(b"first"))
    async with serving(first) as peer, client() as http:
        await http.post(peer.url, content=b"x")
        with pytest.raises(httpx.ReadError):
            await http.post(peer.url, content=b"x")
        assert peer.connections == 1


async def test_a_refusal_during_the_upload_ends_the_upload() -> None:
    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b"too large", status="413 Content Too Large"))
        await peer.go_on.wait()

    async with serving(handle) as peer:
        body = Pieces()
        answer = await post(peer.url, body)
        peer.go_on.set()
        assert (answer.status_code, answer.content) == (413, b"too large")
        assert body.taken < len(LARGE) // PIECE


async def test_a_response_that_is_dropped_closes_its_connection() -> None:
    async with serving(holds(CHUNKED + chunk(b"half"))) as peer, client() as http:
        async with http.stream("GET", peer.url) as answer:
            assert await anext(answer.aiter_raw()) == b"half"
        await peer.left.wait()
