"""One connection: on real sockets, and where every byte counts, on a wire by hand.

Tests whose clock nobody skips run on uvloop too, as the service does: see the end.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain

import httpx
import pytest
import uvloop

from app.upstream.http1 import HEAD_MAX_BYTES, KEEPALIVE_S, LAST_BYTES_S
from app.upstream.inbox import HELD_BYTES
from app.upstream.transport import Reply
from tests.clock import settle, skip, until
from tests.upstream.lines import CHUNKED, ENDLESS, OK, Lined, Lines, Say, Wire, all_of, into, lined
from tests.upstream.peer import END, chunk

MARK: ContextVar[str] = ContextVar("MARK", default="nobody's")
PLACES = ("send", "ask", "read", "pour")
UNASKED = (b"", b"H", b"<html>", OK, b"\0")
READ_BYTES = 262_144
"""What asyncio reads at once; uvloop does less."""
HUGE_BYTES = 32 * 2**20
"""More than all buffers between two sockets take."""


def closing(text: bytes) -> Say:
    """Say it and close the connection."""

    async def say(_: Lines, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    return say


def resetting(text: bytes) -> Say:
    """Say it, wait for the test, and reset the connection."""

    async def say(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await peer.go_on.wait()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return say


def then(first: bytes, rest: bytes) -> Say:
    """Say the one, wait for the test, and say the other."""

    async def say(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await peer.go_on.wait()
        writer.write(rest)

    return say


async def poured(reply: Reply) -> bytes:
    pieces: list[bytes] = []

    await reply.pour(into(pieces))
    return b"".join(pieces)


# What is heard, however it is cut

ENDS, STAYS = "by its connection's end", "by itself"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
TRANSCRIPTS = {
    "content-length": (HELLO, 200, STAYS),
    "chunked": (CHUNKED + chunk(b"hello ") + chunk(b"world") + END, 200, STAYS),
    "extensions and trailers": (
        CHUNKED + b'5;a=b;c="d"\r\nhello\r\n006;e\r\n world\r\n0;f\r\nx-trailer: 1\r\ny: 2\r\n\r\n',
        200,
        STAYS,
    ),
    "padded sizes": (
        CHUNKED + b"5  \r\nhello\r\n6 \r\n world\r\n0 \r\n\r\n",
        200,
        STAYS,
    ),
    "odd headers": (HELLO.replace(b"\r\n", b"\r\nx: a\x01\xff\r\n b\r\n", 1), 200, STAYS),
    "until close": (ENDLESS + b"hello world", 200, ENDS),
    "old http": (b"HTTP/1.0 200 OK\r\n\r\nhello world", 200, ENDS),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n" + HELLO,
        200,
        STAYS,
    ),
    "interim with a body": (
        b"HTTP/1.1 199 Odd\r\ncontent-length: 3\r\n\r\nodd" + HELLO,
        200,
        STAYS,
    ),
    "no reason": (b"HTTP/1.1 404\r\ncontent-length: 11\r\n\r\nhello world", 404, STAYS),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, STAYS),
    "nothing new": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 11\r\n\r\n", 304, STAYS),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, STAYS),
}
CUT = pytest.mark.parametrize("name", TRANSCRIPTS)


def body_of(text: bytes) -> bytes:
    return b"hello world" if b"hello" in text else b""


def cuts(text: bytes) -> list[list[bytes]]:
    """Whole, in two at every place, and byte by byte."""
    halves = [[text[:place], text[place:]] for place in range(1, len(text))]
    return [[text], *halves, [text[place : place + 1] for place in range(len(text))]]


@CUT
@pytest.mark.parametrize("how", ["read", "pour"])
async def test_a_response_is_the_same_wherever_its_bytes_are_cut(name: str, how: str) -> None:
    text, status, end = TRANSCRIPTS[name]
    for parts in cuts(text):
        wire = Wire()
        head = await wire.asked(*parts[:-1], parts[-1])
        if end is ENDS:
            wire.connection.eof_received()
            wire.connection.connection_lost(None)
        got: list[bytes] = []
        if how == "read":
            got.append(await wire.rest())
        else:
            await wire.connection.pour(into(got))
        wire.connection.close()
        assert (head.status, b"".join(got)) == (status, body_of(text)), parts
        assert wire.free == ([wire.connection] if end is STAYS else []), parts


@pytest.mark.parametrize("name", ["content-length", "chunked", "until close", "old http"])
async def test_a_body_is_handed_on_in_the_turn_in_which_its_bytes_come(name: str) -> None:
    text, _, _ = TRANSCRIPTS[name]
    head, _, body = text.partition(b"\r\n\r\n")
    wire = Wire()
    got: list[bytes] = []
    await wire.asked(head + b"\r\n\r\n")
    pouring = asyncio.create_task(wire.connection.pour(into(got)))
    await asyncio.sleep(0)
    for place in range(len(body)):
        byte = body[place : place + 1]
        before = len(got)
        wire.says(byte)
        assert got[before:] in ([], [byte])
    assert b"".join(got) == b"hello world"
    wire.connection.connection_lost(None)
    await pouring


@pytest.mark.parametrize("name", ["content-length", "extensions and trailers", "interim"])
async def test_on_a_socket_too_a_response_may_be_cut_anywhere(name: str) -> None:
    text, status, _ = TRANSCRIPTS[name]

    async def say(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(peer.requests)
        writer.write(text[:place])
        await settle(4)
        writer.write(text[place:])

    async with lined(say) as line:
        for number in range(len(text)):
            async with aclosing(await line.ask()) as reply:
                body = await (poured(reply) if number % 2 else all_of(reply))
                assert (reply.status, body) == (status, b"hello world")
        assert line.peer.connections == 1
        assert len(line.peer.requests) == len(text)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with lined(closing(ENDLESS + b"hello")) as line:
        assert await line.whole() == b"hello"
        async with aclosing(await line.ask()) as reply:
            assert await poured(reply) == b"hello"
        assert line.peer.connections == 2


async def test_headers_are_given_as_they_were_written() -> None:
    text = (
        b"HTTP/1.1 200 OK\r\nX-oDD: a\r\nset-cookie: 1\r\nSet-Cookie: 2\r\nempty:\r\nlast:  x \r\n"
    )
    wire = Wire()
    head = await wire.asked(text + b"content-length: 0\r\n\r\n")
    assert head.headers == [
        (b"X-oDD", b"a"),
        (b"set-cookie", b"1"),
        (b"Set-Cookie", b"2"),
        (b"empty", b""),
        (b"last", b"x"),
        (b"content-length", b"0"),
    ]


async def test_what_an_interim_response_and_a_trailer_say_is_not_the_heads() -> None:
    wire = Wire()
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    head = await wire.asked(interim + CHUNKED + b"0\r\nx-late: 1\r\n\r\n")
    assert head.headers == [(b"transfer-encoding", b"chunked")]


# What is no response


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_MAX_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 11_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000,
        b"HTTP/1.1 199 Odd\r\ncontent-length: 999999\r\n\r\n" + b"x" * HEAD_MAX_BYTES,
    ],
    ids=range(11),
)
async def test_what_is_not_http_breaks_the_protocol_and_drops_the_connection(text: bytes) -> None:
    async with lined(text) as line:
        with pytest.raises(httpx.RemoteProtocolError):
            await line.ask()
        await line.peer.left.wait()
        assert not line.open


@pytest.mark.parametrize("how", [all_of, poured])
async def test_a_broken_chunk_ends_a_body_behind_what_came_of_it(
    how: Callable[[Reply], Awaitable[bytes]],
) -> None:
    text = CHUNKED + chunk(b"hello") + b"no size\r\n"
    async with lined(text, then(CHUNKED + chunk(b"hello"), b"no size\r\n")) as line:
        for _ in range(2):
            async with aclosing(await line.ask()) as reply:
                line.peer.go_on.set()
                with pytest.raises(httpx.RemoteProtocolError, match="chunk size"):
                    await how(reply)
        assert line.peer.connections == 2


async def test_what_came_ahead_of_a_break_is_handed_on_first() -> None:
    async with lined(CHUNKED + chunk(b"hello") + b"no size\r\n") as line:
        got: list[bytes] = []
        async with aclosing(await line.ask()) as reply:
            with pytest.raises(httpx.RemoteProtocolError):
                await reply.pour(into(got))
        assert got == [b"hello"]


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nx: y\r\n", b"\r\n"])
async def test_a_connection_that_ends_ahead_of_the_head_is_a_read_error(text: bytes) -> None:
    async with lined(closing(text)) as line:
        with pytest.raises(httpx.ReadError):
            await line.ask()
        assert line.peer.connections == 1
        assert not line.open


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        CHUNKED + b"9\r\nhello",
        CHUNKED + chunk(b"hello"),
        CHUNKED + chunk(b"hello") + b"0\r\n",
        CHUNKED + chunk(b"hello") + b"0\r\nx: y\r\n",
    ],
)
@pytest.mark.parametrize("how", [all_of, poured])
async def test_a_connection_that_ends_ahead_of_the_bodys_end_is_a_read_error(
    text: bytes, how: Callable[[Reply], Awaitable[bytes]]
) -> None:
    async with lined(closing(text)) as line:
        async with aclosing(await line.ask()) as reply:
            with pytest.raises(httpx.ReadError):
                await how(reply)
        assert not line.open


@pytest.mark.parametrize("text", [b"HTTP/1.1 2", CHUNKED + b"9\r\nhello", ENDLESS + b"hello"])
@pytest.mark.parametrize("how", [all_of, poured])
async def test_a_reset_is_a_read_error_wherever_it_comes(
    text: bytes, how: Callable[[Reply], Awaitable[bytes]]
) -> None:
    async def call() -> None:
        async with aclosing(await line.ask()) as reply:
            await how(reply)

    async with lined(resetting(text)) as line:
        calling = asyncio.create_task(call())
        await line.peer.asked.wait()
        await settle()
        line.peer.go_on.set()
        with pytest.raises(httpx.ReadError):
            await calling


# Which connection serves once more


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (OK, True),
        (CHUNKED + chunk(b"ok") + END, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", True),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", True),
        (OK + b"\r\n", True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok", False),
        (OK + OK, False),
        (OK + b"H", False),
        (OK + b"<html>", False),
    ],
)
async def test_a_connection_is_kept_for_the_next_request_if_it_may_be(
    text: bytes | Say, *, kept: bool
) -> None:
    async with lined(text) as line:
        bodies = [await line.whole(), await line.whole(b"another")]
        assert bodies[0] == bodies[1]
        assert bodies[0] in {b"ok", b"no", b""}
        assert line.peer.connections == (1 if kept else 2)
        assert [request[-7:] for request in line.peer.requests][1] == b"another"


async def test_requests_at_the_same_time_have_a_connection_each() -> None:
    async with lined(then(CHUNKED, chunk(b"ok") + END)) as line:
        calls = [asyncio.create_task(line.whole()) for _ in range(5)]
        await until(lambda: len(line.peer.requests) == 5)
        line.peer.go_on.set()
        assert await asyncio.gather(*calls) == [b"ok"] * 5
        assert await line.whole() == b"ok"
        assert line.peer.connections == 5
        assert len(line.idle) == len(line.open) == 5


async def test_a_response_ahead_of_the_requests_end_stops_the_sending() -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(HUGE_BYTES // 65_536):
            sent += 65_536
            yield b"x" * 65_536

    async def refuse(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it reads, too
        await peer.go_on.wait()
        writer.close()

    async with lined(refuse, OK) as line:
        assert await line.whole(body()) == b"ok"
        assert sent < HUGE_BYTES
        assert not line.idle
        line.peer.go_on.set()
        assert await line.whole() == b"ok"
        assert line.peer.connections == 2


async def test_a_request_that_waits_for_its_own_bytes_is_not_written_to_a_lost_connection() -> None:
    gate = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"1"
        await gate.wait()
        yield b"2"
        yield b"3"

    async with lined(closing(b"")) as line:
        call = asyncio.create_task(line.whole(body()))
        await line.peer.left.wait()
        await until(lambda: not line.open)
        gate.set()
        with pytest.raises(httpx.ReadError):
            await call


@pytest.mark.parametrize("text", UNASKED)
async def test_an_idle_connection_that_hears_something_is_not_used(text: bytes) -> None:
    """Nothing is the end of the connection."""

    async def say(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if len(peer.requests) == 1:
            await peer.go_on.wait()
            writer.write(text)
            if not text:
                writer.close()

    async with lined(say) as line:
        assert await line.whole() == b"ok"
        (first,) = line.idle
        line.peer.go_on.set()
        await until(lambda: not first.usable)
        await until(lambda: not line.open)
        assert not line.idle
        assert await line.whole() == b"ok"
        assert line.peer.connections == 2


async def test_a_connection_that_hears_something_ahead_of_its_first_request_is_not_used() -> None:
    wire = Wire()
    wire.says(OK)
    assert wire.aborted
    assert not wire.connection.usable


async def test_an_idle_connection_is_unusable_as_soon_as_its_end_is_seen() -> None:
    # TLS closes its transport some turns after that.
    wire = Wire()
    await wire.asked(OK)
    wire.connection.close()
    assert wire.connection.usable
    wire.connection.eof_received()
    assert not wire.connection.usable


async def test_an_idle_connection_goes_after_a_while() -> None:
    async with lined(OK) as line:
        await line.whole()
        skip(KEEPALIVE_S - 1)
        await settle()
        await line.whole()
        skip(KEEPALIVE_S - 1)
        await settle()
        assert len(line.idle) == 1
        skip(2)
        await line.peer.left.wait()
        await settle()
        assert not line.open
        await line.whole()
        assert line.peer.connections == 2


async def test_a_busy_connection_does_not_go_after_a_while() -> None:
    async with lined(OK, then(CHUNKED, chunk(b"late") + END)) as line:
        await line.whole()
        async with aclosing(await line.ask()) as reply:
            skip(10 * KEEPALIVE_S)
            await settle()
            line.peer.go_on.set()
            assert await all_of(reply) == b"late"


# Letting go of a response


async def wanted(line: Lined, *, enough: bool) -> None:
    """Take the first piece of an answer, and want no more."""
    async with aclosing(await line.ask()) as reply:
        await reply.pour(lambda piece: piece != b"last")
        if enough:
            reply.enough()


@pytest.mark.parametrize("late", [END, b"0\r\nx: y\r\n\r\n", chunk(b"more") + END])
async def test_a_body_that_soon_ends_gives_its_connection_back(late: bytes) -> None:
    async with lined(then(CHUNKED + chunk(b"last"), late), OK) as line:
        await wanted(line, enough=True)
        assert not line.idle
        skip(LAST_BYTES_S / 2)
        await settle()
        line.peer.go_on.set()
        await until(lambda: len(line.idle) == 1)
        skip(KEEPALIVE_S - 1)
        await settle()
        assert await line.whole() == b"ok"
        assert line.peer.connections == 1


async def test_a_body_that_does_not_soon_end_loses_its_connection() -> None:
    async with lined(then(CHUNKED + chunk(b"last"), END)) as line:
        await wanted(line, enough=True)
        skip(LAST_BYTES_S - 0.2)
        await settle()
        assert line.open
        skip(0.3)
        await settle()
        assert not line.open
        line.peer.go_on.set()


@pytest.mark.parametrize(
    ("head", "enough"),
    [
        (CHUNKED, False),
        (ENDLESS, True),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), True),
    ],
)
async def test_a_body_of_which_more_is_expected_loses_its_connection_at_once(
    head: bytes, *, enough: bool
) -> None:
    last = b"last" if head is ENDLESS else chunk(b"last")
    async with lined(then(head + last, b"")) as line:
        await wanted(line, enough=enough)
        await settle()
        assert not line.open
        line.peer.go_on.set()
        await line.peer.left.wait()


async def test_letting_go_twice_does_not_touch_the_next_request() -> None:
    async with lined(OK, then(CHUNKED, chunk(b"mine") + END)) as line:
        first = await line.ask()
        assert await all_of(first) == b"ok"
        await first.aclose()
        second = await line.ask()
        await first.aclose()
        line.peer.go_on.set()
        assert await all_of(second) == b"mine"
        await second.aclose()
        assert line.peer.connections == 1


async def test_a_connection_that_had_to_hold_back_reads_on_for_its_next_request() -> None:
    wire = Wire()
    body = b"x" * (HELD_BYTES + 1)
    await wire.asked(b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert not wire.reads
    wire.connection.close()
    assert wire.free == [wire.connection]
    assert wire.reads


# Pouring


async def test_chunks_that_come_together_are_one_piece() -> None:
    got: list[bytes] = []
    text = CHUNKED + chunk(b"a") + chunk(b"b") + chunk(b"c")
    late = then(text, chunk(b"d") + chunk(b"e") + END)
    async with lined(late) as line, aclosing(await line.ask()) as reply:
        await settle()
        line.peer.go_on.set()
        await reply.pour(into(got))
    assert b"".join(got) == b"abcde"
    assert b"abc" in got[0]
    assert got[-1].endswith(b"de")


async def test_whoever_wants_no_more_is_given_no_more() -> None:
    got: list[bytes] = []
    wire = Wire()
    await wire.asked(CHUNKED + chunk(b"a"))

    def take(piece: bytes) -> bool:
        got.append(piece)
        return len(got) < 2

    pouring = asyncio.create_task(wire.connection.pour(take))
    await asyncio.sleep(0)
    wire.says(chunk(b"b"), chunk(b"c"))
    await pouring
    wire.says(chunk(b"d") + END)
    assert got == [b"a", b"b"]
    assert await wire.rest() == b"cd"


async def test_whoever_has_left_is_given_no_more() -> None:
    got: list[bytes] = []
    wire = Wire()
    await wire.asked(CHUNKED + chunk(b"a"))
    pouring = asyncio.create_task(wire.connection.pour(into(got)))
    await asyncio.sleep(0)
    pouring.cancel()
    await asyncio.wait([pouring])
    wire.says(chunk(b"b"))
    assert got == [b"a"]


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_taker_raises_is_raised_where_it_pours(*, late: bool) -> None:
    def take(_: bytes) -> bool:
        raise LookupError("taken ill")

    parts = (CHUNKED, chunk(b"a")) if late else (CHUNKED + chunk(b"a"), b"")
    async with lined(then(*parts)) as line:
        async with aclosing(await line.ask()) as reply:
            asyncio.get_running_loop().call_soon(line.peer.go_on.set)
            with pytest.raises(LookupError, match="taken ill"):
                await reply.pour(take)
        await line.peer.left.wait()
        await settle()
        assert not line.open


async def test_a_taker_runs_in_the_context_of_the_task_that_pours() -> None:
    seen: list[str] = []

    def take(_: bytes) -> bool:
        seen.append(MARK.get())
        return True

    async def pour(mark: str) -> None:
        MARK.set(mark)
        line.peer.go_on.clear()
        async with aclosing(await line.ask()) as reply:
            (connection,) = line.open
            await until(lambda: bool(connection._pieces))
            asyncio.get_running_loop().call_soon(line.peer.go_on.set)
            await reply.pour(take)

    async with lined(then(CHUNKED + chunk(b"a"), chunk(b"b") + END)) as line:
        await asyncio.create_task(pour("first"))
        await asyncio.create_task(pour("second"))
        assert line.peer.connections == 1
    # A piece that waited for it, and one that it waited for.
    assert seen == ["first", "first", "second", "second"]
    assert MARK.get() == "nobody's"


@pytest.mark.parametrize("early", range(4))
async def test_what_came_before_somebody_pours_or_reads_is_not_lost(early: int) -> None:
    parts = (CHUNKED + chunk(b"a"), chunk(b"b"), chunk(b"c"), chunk(b"d") + END)
    wire = Wire()
    await wire.asked(*parts[: early + 1])
    reading = asyncio.create_task(wire.rest())
    await asyncio.sleep(0)
    wire.says(*parts[early + 1 :])
    assert await reading == b"abcd"
    wire = Wire()
    got: list[bytes] = []
    await wire.asked(*parts[: early + 1])
    pouring = asyncio.create_task(wire.connection.pour(into(got)))
    await asyncio.sleep(0)
    wire.says(*parts[early + 1 :])
    await pouring
    assert b"".join(got) == b"abcd"


@pytest.mark.parametrize("text", [CHUNKED + chunk(b"ok") + END, OK, closing(ENDLESS + b"ok")])
async def test_a_body_that_was_over_before_somebody_asked_for_it_is_given(text: bytes) -> None:
    async with lined(text) as line:
        for how in (all_of, poured):
            async with aclosing(await line.ask()) as reply:
                await settle()
                assert await how(reply) == b"ok"
                assert await how(reply) == b""


# Holding back


async def test_a_peer_that_is_too_fast_has_to_wait_for_whoever_reads() -> None:
    written = 0

    async def flood(_: Lines, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % HUGE_BYTES)
        for _piece in range(HUGE_BYTES // 65_536):
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with lined(flood) as line:
        for _ in range(2):
            written = 0
            async with aclosing(await line.ask()) as reply:
                (connection,) = line.open
                await until(lambda: all(one._paused for one in line.open))
                await settle(200)
                assert written < HUGE_BYTES
                held = sum(map(len, connection._pieces))
                assert HELD_BYTES < held <= HELD_BYTES + READ_BYTES
                size, most = 0, 0
                while piece := await reply.read():
                    size, most = size + len(piece), max(most, len(piece))
                assert size == written == HUGE_BYTES
                assert most <= HELD_BYTES + READ_BYTES
        assert line.peer.connections == 1


async def test_whoever_keeps_up_is_not_held_back() -> None:
    wire = Wire()
    half = b"x" * (HELD_BYTES // 2 + 1)
    await wire.asked(CHUNKED)
    for _ in range(4):
        wire.says(chunk(half))
        assert wire.reads
        assert await wire.connection.read() == half
    wire.says(chunk(half), chunk(half))
    assert not wire.reads
    assert await wire.connection.read() == half * 2
    assert wire.reads


async def test_whoever_pours_late_has_what_was_held_back_too() -> None:
    flood = b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n" + b"x" * 4_000_000
    async with lined(flood) as line, aclosing(await line.ask()) as reply:
        (connection,) = line.open
        await until(lambda: connection._paused)
        assert len(await poured(reply)) == 4_000_000


async def test_a_large_request_to_a_slow_reader_arrives_whole_and_piles_up_nowhere() -> None:
    got, piled, size = bytearray(), 0, 8 * 2**20

    async def slow(_: Lines, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(got) < size:
            got.extend(await reader.read(65_536))
            await settle(2)
        writer.write(OK)

    async def body() -> AsyncIterator[bytes]:
        nonlocal piled
        for number in range(size // 131_072):
            yield bytes([number]) * 131_072
            (connection,) = line.open
            transport = connection._transport
            piled = max(piled, transport.get_write_buffer_size())

    async with lined(slow, OK) as line:
        request = {"headers": {"x-length": str(size), "transfer-encoding": "none"}}
        async with aclosing(await line.ask(body(), **request)) as reply:
            assert await all_of(reply) == b"ok"
        assert got == bytes(chain.from_iterable([n] * 131_072 for n in range(size // 131_072)))
        assert piled <= 131_072
        assert await line.whole() == b"ok"
        assert line.peer.connections == 1


# Leaving


@pytest.mark.parametrize("where", PLACES)
async def test_leaving_drops_the_connection_at_once(where: str) -> None:
    async def call() -> None:
        content = endless() if where == "send" else b""
        async with aclosing(await line.ask(content)) as reply:
            await (all_of if where == "read" else poured)(reply)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async def stall(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if where == "send":
            writer.transport.pause_reading()  # type: ignore[attr-defined] # it reads, too
            await peer.go_on.wait()
            writer.close()
        elif where != "ask":
            writer.write(CHUNKED + chunk(b"a"))

    async with lined(stall) as line:
        calling = asyncio.create_task(call())
        await line.peer.asked.wait()
        await settle(200)
        assert not calling.done()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await until(lambda: not line.open)
        line.peer.go_on.set()
        await line.peer.left.wait()
        assert line.peer.connections == 1


async def test_leaving_as_the_whole_answer_comes_loses_or_keeps_the_connection_and_no_other() -> (
    None
):
    async with lined(OK) as line:
        for turns in range(12):
            call = asyncio.create_task(line.whole())
            await settle(turns)
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            await settle()
            assert set(line.idle) == line.open
            assert await line.whole() == b"ok"


# What is sent


async def test_a_request_is_one_write() -> None:
    wire = Wire()
    await wire.asked(OK)
    assert wire.written == [b"head and body"]


@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n", "\r\nx: y", "\0"])
@pytest.mark.parametrize("place", ["name", "value"])
async def test_a_header_that_breaks_its_line_is_not_sent(mark: str, place: str) -> None:
    headers = {f"a{mark}b": "c"} if place == "name" else {"a": f"b{mark}c"}
    async with lined(OK) as line:
        with pytest.raises(httpx.LocalProtocolError):
            await line.ask(headers=headers)
        await settle()
        assert line.peer.connections == 0


# On the service's own loop

ON_UVLOOP: list[Callable[[], Coroutine[None, None, None]]] = [
    test_a_body_without_a_length_ends_with_its_connection,
    test_what_came_ahead_of_a_break_is_handed_on_first,
    test_requests_at_the_same_time_have_a_connection_each,
    test_a_response_ahead_of_the_requests_end_stops_the_sending,
    test_a_request_that_waits_for_its_own_bytes_is_not_written_to_a_lost_connection,
    test_letting_go_twice_does_not_touch_the_next_request,
    test_chunks_that_come_together_are_one_piece,
    test_a_taker_runs_in_the_context_of_the_task_that_pours,
    test_a_peer_that_is_too_fast_has_to_wait_for_whoever_reads,
    test_whoever_pours_late_has_what_was_held_back_too,
    test_a_large_request_to_a_slow_reader_arrives_whole_and_piles_up_nowhere,
    test_leaving_as_the_whole_answer_comes_loses_or_keeps_the_connection_and_no_other,
    *(partial(test_leaving_drops_the_connection_at_once, where) for where in PLACES),
    *(
        partial(test_what_a_taker_raises_is_raised_where_it_pours, late=late)
        for late in (False, True)
    ),
    *(partial(test_an_idle_connection_that_hears_something_is_not_used, it) for it in UNASKED),
    partial(test_a_reset_is_a_read_error_wherever_it_comes, ENDLESS + b"hello", poured),
    partial(test_a_broken_chunk_ends_a_body_behind_what_came_of_it, poured),
    partial(test_on_a_socket_too_a_response_may_be_cut_anywhere, "extensions and trailers"),
]


@pytest.mark.parametrize("test", ON_UVLOOP, ids=lambda test: getattr(test, "func", test).__name__)
def test_on_uvloop(test: Callable[[], Coroutine[None, None, None]]) -> None:
    uvloop.run(test())
