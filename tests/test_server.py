"""The server's own part of a shutdown; with real processes, see `e2e/test_drain.py`."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.main import create_app
from app.server import KEEP_ALIVE_S, DrainingServer
from app.settings import load
from simulator import create_app as create_simulator
from simulator.pictures import PICTURES
from simulator.serving import listen, serving
from tests.clock import settle, skip, until
from tests.service import FAST, GALLERY_URL, KEY
from tests.wire import dial, events_of, request

GRACE_S = 3_600
STALLED = {"image_url": GALLERY_URL + PICTURES[7].name, "prompt": "[sim stall after=14]"}


@asynccontextmanager
async def server(host: str = "127.0.0.1") -> AsyncIterator[DrainingServer]:
    """A server that is not yet started, in front of the stand-in."""
    async with asyncio.timeout(2 * GRACE_S), serving(create_simulator(FAST)) as upstream:
        settings = load(
            _env_file=None,
            host=host,
            port=0,
            allow_anonymous=True,
            rate_limit="0",
            shutdown_grace_s=GRACE_S,
            dashscope_api_key=KEY,
            dashscope_base_url=f"{upstream}/v1",
        )
        yield DrainingServer(create_app(settings), settings)


def url_of(server: DrainingServer) -> str:
    host, port = server.servers[0].sockets[0].getsockname()
    return f"http://{host}:{port}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_server(number: signal.Signals) -> None:
    async with server() as idle:
        serving = asyncio.create_task(idle.serve())
        await until(lambda: idle.started)
        os.kill(os.getpid(), number)
        await serving


async def test_a_signal_before_the_start_ends_the_server_as_soon_as_it_has_started() -> None:
    async with server() as early:
        early._on_signal()
        await early.serve()
        assert early.started


@pytest.mark.parametrize("how", ["the grace ends", "a second signal"])
async def test_a_drain_ends_what_has_not_ended_with_a_word(how: str) -> None:
    async with server() as draining:
        serving = asyncio.create_task(draining.serve())
        await until(lambda: draining.started)
        async with dial(url_of(draining)) as wire:
            wire.send(request("POST", "/search/stream", body=STALLED))
            await wire.head()
            os.kill(os.getpid(), signal.SIGTERM)
            runs = draining._app.state.service.runs
            await until(lambda: runs.draining)
            assert runs.active == 1
            if how == "a second signal":
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                skip(GRACE_S)
            assert events_of(await wire.rest())[-1] == b"search.failed"
            await serving


async def test_an_idle_connection_outlives_those_that_proxies_keep() -> None:
    async with server() as serving_longer:
        serving = asyncio.create_task(serving_longer.serve())
        await until(lambda: serving_longer.started)
        async with dial(url_of(serving_longer)) as wire:
            for _ in range(2):
                wire.send(request("GET", "/healthz"))
                _, headers = await wire.head()
                await wire.reader.readexactly(int(headers["content-length"]))
                await settle()
                skip(61)
                await settle()
                assert not wire.reader.at_eof()
            skip(KEEP_ALIVE_S)
            assert await wire.reader.read() == b""
        serving_longer._on_signal()
        await serving


def speaks_ipv6() -> bool:
    try:
        listen("::1", 0).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not speaks_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "addresses"), [("::", 2), ("127.0.0.1", 1), ("::1", 1)])
async def test_the_address_of_all_addresses_is_that_of_ipv4_too(host: str, addresses: int) -> None:
    async with server(host) as listening, httpx.AsyncClient() as http:
        serving = asyncio.create_task(listening.serve())
        await until(lambda: listening.started)
        sockets = listening.servers[0].sockets
        assert len(sockets) == addresses
        for sock in sockets:
            local = "127.0.0.1" if sock.family == socket.AF_INET else "[::1]"
            alive = await http.get(f"http://{local}:{sock.getsockname()[1]}/healthz")
            assert alive.status_code == 200
        listening._on_signal()
        await serving
