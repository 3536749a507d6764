"""How connections are made, kept, and dropped in the end."""

import asyncio
import gc
import os
import shutil
import socket
import ssl
import subprocess
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from app.upstream import pool
from app.upstream.http1 import Connection
from app.upstream.pool import Origin
from app.upstream.transport import PooledTransport
from tests.clock import settle, skip, until
from tests.upstream.lines import CHUNKED, OK, Lines, Say, all_of, lined
from tests.upstream.peer import END, chunk, listening

OPENSSL = shutil.which("openssl")
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost` and its key in one file, signed by itself."""
    if OPENSSL is None and os.environ.get("CI") != "true":
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *(str(OPENSSL), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", f"{file}.c"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + Path(f"{file}.c").read_bytes())
    return file


@pytest.fixture
def tls(certificate: Path) -> Contexts:
    """The peer's context, and one that trusts it."""
    peers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    peers.load_cert_chain(certificate)
    return peers, ssl.create_default_context(cafile=str(certificate))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""

    async def look_up(*_: object, **__: object) -> Sequence[tuple[Any, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, address) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port: int = some.getsockname()[1]
        return port


def full() -> list[socket.socket]:
    """A listener whose queue is full, so that connecting hangs, and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    return [listener, *waiting]


async def refused(url: str, *, connect_s: float | None = None) -> httpx.TransportError:
    transport = PooledTransport()
    extensions = {"timeout": {"connect": connect_s}}
    with pytest.raises(httpx.TransportError) as caught:
        await transport.handle_async_request(httpx.Request("POST", url, extensions=extensions))
    assert not transport.pool._all
    await transport.aclose()
    return caught.value


# Made


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "nowhere.invalid", "a" * 64 + ".example", "[::1]", "a..b"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_connection_is_a_connect_error(scheme: str, host: str) -> None:
    assert type(await refused(f"{scheme}://{host}:{free_port()}/")) is httpx.ConnectError


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example", "127.0.0.1"])
def test_on_uvloop_too_no_connection_is_a_connect_error(host: str) -> None:
    async def test() -> None:
        assert type(await refused(f"http://{host}:{free_port()}/")) is httpx.ConnectError

    uvloop.run(test())


async def test_an_address_that_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lined(OK) as line:
        url = httpx.URL(line.peer.url)
        assert url.port
        resolving(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", url.port))
        line.peer.url = str(url.copy_with(host="two.example"))
        assert await line.whole() == b"ok"


async def test_an_address_that_hangs_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = full()
    async with lined(OK) as line:
        url = httpx.URL(line.peer.url)
        assert url.port
        resolving(monkeypatch, hangs[0].getsockname(), ("127.0.0.1", url.port))
        line.peer.url = str(url.copy_with(host="two.example"))
        call = asyncio.create_task(line.whole())
        await settle()
        assert line.peer.connections == 0
        skip(pool.NEXT_ADDRESS_S)
        assert await call == b"ok"
    for one in hangs:
        one.close()


async def test_all_addresses_refusing_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, *[("127.0.0.1", free_port()) for _ in range(3)])
    assert type(await refused("http://three.example/")) is httpx.ConnectError


async def test_the_time_to_connect_is_bounded() -> None:
    hangs = full()
    url = f"http://127.0.0.1:{hangs[0].getsockname()[1]}/"
    call = asyncio.create_task(refused(url, connect_s=5))
    await settle()
    skip(4)
    await settle()
    assert not call.done()
    skip(2)
    assert type(await call) is httpx.ConnectTimeout
    for one in hangs:
        one.close()


async def test_the_time_to_connect_bounds_the_look_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    call = asyncio.create_task(refused("http://slow.example/", connect_s=5))
    await settle()
    skip(6)
    assert type(await call) is httpx.ConnectTimeout


async def test_leaving_while_it_connects_leaves_nothing_behind() -> None:
    hangs = full()
    transport = PooledTransport()
    origin = Origin("http", "127.0.0.1", hangs[0].getsockname()[1])
    call = asyncio.create_task(transport.pool.take(origin, connect_s=None))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not transport.pool._all
    for one in hangs:
        one.close()


async def test_no_request_is_sent_where_a_connection_closes_or_talks_at_once() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp.example\r\n")
        await writer.drain()

    async with listening(talk) as port:
        transport = PooledTransport()
        request = httpx.Request("POST", f"http://127.0.0.1:{port}/")
        with pytest.raises(httpx.TransportError):
            await transport.handle_async_request(request)
        await settle()
        assert not transport.pool._all
        await transport.aclose()


async def test_a_connection_that_is_lost_as_it_is_made_is_a_connect_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def make(*args: Any, **given: Any) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        transport, made = await connect(*args, **given)
        transport.abort()
        return transport, made

    monkeypatch.setattr(loop, "create_connection", make)
    async with lined(OK) as line:
        with pytest.raises(httpx.ConnectError):
            await line.ask()
        assert not line.peer.requests
        assert not line.open


def test_an_origin_spells_out_its_port() -> None:
    for url, port in (
        ("http://a/b", 80),
        ("https://a/b", 443),
        ("http://a:443/", 443),
        ("https://a:80", 80),
        ("http://[::1]:7", 7),
    ):
        origin = Origin.of(httpx.URL(url))
        assert (origin.scheme, origin.port) == (url.partition(":")[0], port)
    assert Origin.of(httpx.URL("https://bücher.example")).host == "xn--bcher-kva.example"


# TLS


@LOOPS
def test_a_tls_connection_is_kept_too(tls: Contexts, run: Run) -> None:
    async def test() -> None:
        big = b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n" + b"x" * 4_000_000
        async with lined(OK, big, OK, tls=tls) as line:
            assert await line.whole() == b"ok"
            async with aclosing(await line.ask(b"y" * 1_000_000)) as reply:
                (connection,) = line.open
                await until(lambda: connection._paused)
                assert len(await all_of(reply)) == 4_000_000
            assert line.peer.requests[1].endswith(b"y" * 1_000_000)
            assert await line.whole() == b"ok"
            assert line.peer.connections == 1

    run(test())


@LOOPS
def test_a_tls_connection_that_the_peer_ends_is_not_used(tls: Contexts, run: Run) -> None:
    async def once(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if len(peer.requests) % 2:
            await peer.go_on.wait()
            writer.close()

    async def test() -> None:
        async with lined(once, tls=tls) as line:
            assert await line.whole() == b"ok"
            (first,) = line.idle
            line.peer.go_on.set()
            await until(lambda: not first.usable)
            assert await line.whole() == b"ok"
            assert line.peer.connections == 2

    run(test())


@LOOPS
@pytest.mark.parametrize("broken", [b"", b"\x16garbage in no record", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_peer_without_tls_is_a_connect_error(run: Run, broken: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(broken)

    async def test() -> None:
        async with listening(talk) as port:
            error = await refused(f"https://localhost:{port}/")
            assert type(error) is httpx.ConnectError

    run(test())


@LOOPS
@pytest.mark.parametrize("wrong", ["name", "issuer"])
def test_a_certificate_that_does_not_hold_is_a_connect_error(
    tls: Contexts, run: Run, wrong: str
) -> None:
    async def test() -> None:
        ours = httpx.create_ssl_context(trust_env=False) if wrong == "issuer" else tls[1]
        async with lined(OK, tls=(tls[0], ours)) as line:
            if wrong == "name":
                line.peer.url = line.peer.url.replace("localhost", "127.0.0.1")
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await line.ask()
            assert not line.peer.requests
            assert not line.open

    run(test())


async def test_a_tls_handshake_that_hangs_is_a_connect_time_out() -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass

    async with listening(hang) as port:
        call = asyncio.create_task(refused(f"https://127.0.0.1:{port}/", connect_s=5))
        await settle(200)
        assert not call.done()
        skip(6)
        assert type(await call) is httpx.ConnectTimeout


# Dropped


async def stall(_: Lines, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + chunk(b"a"))
    await reader.read()


async def stall_endless(
    _: Lines, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\na")
    await reader.read()


@LOOPS
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("busy", [stall, stall_endless])
def test_closing_drops_idle_and_busy_connections(
    tls: Contexts, run: Run, busy: Say, *, secure: bool
) -> None:
    async def test() -> None:
        async with lined(slow, OK, busy, tls=tls if secure else None) as line:
            await asyncio.gather(line.whole(), line.whole())
            reply = await line.ask()
            assert await reply.read() == b"a"
            assert (len(line.open), len(line.idle)) == (2, 1)
            reading = asyncio.create_task(all_of(reply))
            await settle()
            await line.transport.aclose()
            with pytest.raises(httpx.ReadError):
                await reading
            with pytest.raises(httpx.ReadError):
                await reply.pour(bool)
            await reply.aclose()
            await settle()
            assert not line.open
            assert not line.idle

    async def slow(peer: Lines, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until(lambda: len(peer.requests) == 2)
        writer.write(OK)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(test())
        gc.collect()
    assert [str(one.message) for one in told if one.category is ResourceWarning] == []


class Weak(Connection):
    """A connection of which can be told whether it is still there."""

    __slots__ = ("__weakref__",)


@LOOPS
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("end", ["idle", "dropped", "raised", "left", "broken"])
def test_nothing_holds_a_connection_that_is_gone(
    tls: Contexts, run: Run, monkeypatch: pytest.MonkeyPatch, *, secure: bool, end: str
) -> None:
    made: list[weakref.ref[Connection]] = []

    def make(**given: Any) -> Connection:
        connection = Weak(**given)
        made.append(weakref.ref(connection))
        return connection

    def take(_: bytes) -> bool:
        raise LookupError

    async def call() -> None:
        async with lined(says.get(end, stall), tls=tls if secure else None) as line:
            if end == "idle":
                await line.whole()
                return
            async with aclosing(await line.ask()) as reply:
                if end == "raised":
                    await reply.pour(take)
                await reply.read()
                call = asyncio.create_task(all_of(reply))
                await settle()
                call.cancel()
                await asyncio.wait([call])

    async def leave(_: Lines, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"a"))
        writer.close()

    async def test() -> None:
        with suppress(LookupError, httpx.TransportError):
            await call()
        await settle()
        assert made
        assert [one() for one in made if one()] == []

    says: dict[str, bytes | Say] = {"idle": OK, "broken": b"HTTP/1.1 2OO\r\n", "left": leave}
    monkeypatch.setattr(pool, "Connection", make)
    gc.collect()
    gc.disable()
    try:
        run(test())
    finally:
        gc.enable()


async def test_a_pool_that_was_closed_keeps_nothing_more() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b""

    async with lined(OK) as line:
        reply = await line.ask(body())
        await line.transport.aclose()
        await reply.aclose()
        assert not line.idle


async def test_another_origin_has_its_own_connections() -> None:
    async with lined(OK) as one, lined(CHUNKED + chunk(b"two") + END) as two:
        two.transport = one.transport
        for _ in range(3):
            assert await one.whole() == b"ok"
            assert await two.whole() == b"two"
        assert one.peer.connections == two.peer.connections == 1
        assert len(one.idle) == 2
        await one.transport.aclose()
