"""The way to the upstream breaks: what is tried again, counted where the calls arrive.

Through the shipped HTTP client, against sockets which the stand-in has no scenario for.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.clock import settle, skip
from tests.e2e.asking import WAYS, Pauses, Way, fronting, outcome
from tests.service import Running, running_against
from tests.upstream.peer import Part, Peer, resets_after, says, stream
from tests.upstream.transcript import WIRE

GUARD_S = 200
"""What is skipped in a test, and then some."""
CONNECT_S = 5.5
"""A little more than `UPSTREAM_CONNECT_TIMEOUT_S`."""
WELL = says(stream(WIRE))


def counted(service: Running, result: str) -> float:
    """Tries which ended so, by the service's own count."""
    registry = service.service.metrics.registry
    name = "imagesearch_upstream_calls_total"
    return registry.get_sample_value(name, {"result": result}) or 0


@contextmanager
def bound(backlog: int | None = None) -> Iterator[socket.socket]:
    """A port of our own, which refuses connections unless it listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if backlog is not None:
            sock.listen(backlog)
        yield sock


@contextmanager
def full() -> Iterator[tuple[socket.socket, Callable[[], None]]]:
    """A port whose queue is full: connecting to it takes for ever, until it is emptied."""
    with bound(0) as sock, socket.create_connection(sock.getsockname()):

        def empty() -> None:
            sock.accept()[0].close()

        yield sock, empty


@asynccontextmanager
async def later(sock: socket.socket) -> AsyncGenerator[tuple[Peer, Callable[[], None]], None]:
    """A peer on that port which serves from the moment that it is told to begin."""
    peer = Peer((WELL,))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, sock=sock, start_serving=False)
    beginning: list[asyncio.Task[None]] = []
    yield peer, lambda: beginning.append(asyncio.create_task(server.start_serving()))
    server.close()
    await asyncio.gather(*beginning)


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{sock.getsockname()[1]}/v1"


class Repairing(Pauses):
    """Mends the way to the upstream in the first pause."""

    def __init__(self, mend: Callable[[], Any]) -> None:
        super().__init__()
        self._mend = mend

    def paused(self, wait_s: float) -> None:
        if len(self.lengths_s) == 1:
            self._mend()
        super().paused(wait_s)


@pytest.mark.parametrize("way", WAYS)
async def test_a_closed_port_is_tried_three_times(way: Way) -> None:
    with bound() as sock, Pauses() as pauses:
        async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
            told = await outcome(service, way)
            assert counted(service, "upstream_unavailable") == 3
    assert (told["code"], told["retryable"]) == ("upstream_unavailable", True)
    assert told["status"] == 502
    assert len(pauses.lengths_s) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_port_that_opens_meanwhile_gets_one_call(way: Way) -> None:
    with bound() as sock:
        async with later(sock) as (peer, begin):
            with Repairing(begin) as pauses:
                async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
                    told = await outcome(service, way)
    assert told["status"] == "completed"
    assert (len(peer.requests), len(pauses.lengths_s)) == (1, 1)


async def wait_out(asking: "asyncio.Task[dict[str, Any]]") -> None:
    """Put the clock over the connect time-out, as often as the service connects."""
    while not asking.done():
        await settle(200)
        if not asking.done():
            skip(CONNECT_S)


@pytest.mark.parametrize("way", WAYS)
async def test_a_connection_that_takes_too_long_is_tried_three_times(way: Way) -> None:
    with full() as (sock, _), Pauses() as pauses:
        async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
            asking = asyncio.create_task(outcome(service, way))
            await wait_out(asking)
            told = await asking
            assert counted(service, "upstream_timeout") == 3
    assert (told["code"], told["retryable"]) == ("upstream_timeout", True)
    assert told["status"] == 504
    assert " connect " in told["detail"]
    assert len(pauses.lengths_s) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_queue_that_empties_meanwhile_gets_one_call(way: Way) -> None:
    with full() as (sock, empty):
        async with later(sock) as (peer, begin):

            def mend() -> None:
                empty()
                begin()

            with Repairing(mend) as pauses:
                async with asyncio.timeout(GUARD_S), running_against(url_of(sock)) as service:
                    asking = asyncio.create_task(outcome(service, way))
                    await settle(300)
                    skip(CONNECT_S)
                    told = await asking
    assert told["status"] == "completed"
    assert (len(peer.requests), len(pauses.lengths_s)) == (1, 1)


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
        with Pauses():
            url = url_of(server.sockets[0], "https")
            async with server, running_against(url) as service:
                told = await outcome(service, way)
    assert (told["code"], told["status"]) == ("upstream_unavailable", 502)
    assert connections == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", [resets_after(b""), says(b"")], ids=["reset", "closed"])
async def test_a_connection_that_breaks_after_the_request_is_not_tried_again(
    part: Part, way: Way
) -> None:
    with Pauses() as pauses:
        async with fronting(part, WELL) as (service, peer):
            told = await outcome(service, way)
            assert (told["code"], told["retryable"]) == ("upstream_unavailable", True)
            assert (len(peer.requests), pauses.lengths_s) == (1, [])
