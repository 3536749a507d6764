"""What a relayed event costs, counted and not timed: calls, of Python functions and of C ones.

The whole way in one process and without sockets: the upstream's bytes, HTTP, decoder, run, log,
framing, response, middleware, `send`. Counted by `sys.setprofile` as the difference between a
long and a short answer, so that what a search costs once falls out, less what the chunks cost by
themselves. Task switches are in it, for the event loop's calls are; uvicorn is not.

What a search costs once, a last test counts by itself.

The same number on every run of one version of Python and of the locked packages. When a band is
left downwards, move it down: that is the guard's purpose.
"""

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI

import app.main
from app.api.feed import OUTLET
from app.settings import load
from app.upstream import transport
from app.upstream.http1 import Connection
from app.upstream.pool import Origin, Pool
from bench.shape import Shape, blocks
from tests.upstream.peer import END, STREAM, chunk

SHORT, LONG = 100, 500
PIECE_BYTES = 65_536
"""What one read of a socket brings at most."""

TURNS = 4
"""Of the loop between two chunks: time for an event to get all the way out."""

ONE_BY_ONE = (43, 60)
"""Calls per event when every event comes, and goes, by itself: least and most."""

ALL_AT_ONCE = (19, 28)
"""Calls per event when the answer comes in pieces of 64 KB."""


A_SEARCH = (2_250, 3_100)
"""Calls of a search beside its deltas: opened, admitted, asked for, summed up, logged."""


class Socket(asyncio.Transport):
    """The way to the upstream: whoever writes there is answered, in the chunks as they come."""

    def __init__(self, peer: asyncio.Protocol, chunks: list[bytes]) -> None:
        super().__init__()
        self._peer = peer
        self._chunks = iter(chunks)
        self.emptied = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._arrive(TURNS)

    def abort(self) -> None:
        """Be gone without a word."""

    def is_closing(self) -> bool:
        return self.emptied.is_set()

    def _arrive(self, turns: int) -> None:
        """Some turns of the loop pass, as they do until a socket has more."""
        if turns:
            asyncio.get_running_loop().call_soon(self._arrive, turns - 1)
        elif chunk := next(self._chunks, None):
            self._peer.data_received(chunk)
            self._arrive(TURNS)
        else:
            self.emptied.set()


class FakePool(Pool):
    """Connects to nobody."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def take(self, origin: Origin, *, connect_s: float | None) -> Connection:
        connection = Connection(on_free=lambda _: None, on_gone=lambda _: None)
        connection.connection_made(Socket(connection, self._chunks))
        return connection

    async def aclose(self) -> None:
        """Have nothing to drop."""


class Browser:
    """The server's side of one request: what came of it."""

    def __init__(self) -> None:
        self._body: bytes | None = json.dumps({"image_url": "https://a.example/b.jpg"}).encode()
        self.sent: list[bytes] = []
        self.status = 0

    @property
    def scope(self) -> dict[str, Any]:
        headers = [(b"content-type", b"application/json"), (b"host", b"a.example")]
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/search/stream",
            "raw_path": b"/search/stream",
            "query_string": b"",
            "root_path": "",
            "headers": [*headers, (b"authorization", b"Bearer key-of-the-web-client")],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
            "extensions": {OUTLET: self},
        }

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            await asyncio.get_running_loop().create_future()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    def write(self, piece: bytes) -> bool:
        self.sent.append(piece)
        return True

    def flush(self) -> None:
        """Hold nothing back."""

    def on_lost(self, lost: Callable[[], None]) -> None:
        """Stay to the end."""

    def close(self) -> None:
        """Have nothing to let go of."""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            self.sent.append(message["body"])


class Calls:
    """Counts calls in this thread while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()
        sys.setprofile(self._on)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _on(self, frame: FrameType, event: str, arg: object) -> None:
        if event in ("call", "c_call"):
            self.count += 1


def one_by_one(shape: Shape) -> list[bytes]:
    return [STREAM, *map(chunk, blocks(shape)), END]


def all_at_once(shape: Shape) -> list[bytes]:
    text = b"".join(one_by_one(shape))
    return [text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES)]


Chunking = Callable[[Shape], list[bytes]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bytes]], FastAPI]:
    """Build a service, everything on, whose upstream answers in given chunks."""

    def build(chunks: list[bytes]) -> FastAPI:
        monkeypatch.setattr(transport, "Pool", lambda _: FakePool(chunks))
        return app.main.create_app(
            load(
                dashscope_api_key="sk-of-the-service",
                dashscope_base_url="http://upstream.example/v1",
                client_keys="web:key-of-the-web-client",
                rate_limit="1000/minute",
                _env_file=None,
            )
        )

    return build


async def search(service: FastAPI, shape: Shape) -> int:
    """Run one search, make sure that all of it came, and count its calls."""
    browser, calls = Browser(), Calls()
    async with service.router.lifespan_context(service), asyncio.timeout(60):
        with calls:
            await service(browser.scope, browser.receive, browser.send)
    body = b"".join(browser.sent)
    assert browser.status == 200
    assert body.count(b"event: response.output_text.delta\n") == shape.deltas
    assert body.count(b"event: search.completed\n") == 1
    return calls.count


async def read(chunks: list[bytes]) -> int:
    """Count what the chunks cost by themselves."""
    socket, calls = Socket(asyncio.Protocol(), chunks), Calls()
    with calls:
        socket.write(b"")
        await socket.emptied.wait()
    return calls.count


@pytest.mark.parametrize(
    ("chunking", "band"), [(one_by_one, ONE_BY_ONE), (all_at_once, ALL_AT_ONCE)]
)
def test_a_relayed_event_costs_so_many_calls(
    served: Callable[[list[bytes]], FastAPI], chunking: Chunking, band: tuple[int, int]
) -> None:
    relayed, unread = measured(served, chunking)
    assert band[0] <= relayed.per_event - unread.per_event <= band[1]


def test_a_search_costs_so_many_calls_beside_its_deltas(
    served: Callable[[list[bytes]], FastAPI],
) -> None:
    relayed, unread = measured(served, all_at_once)
    assert A_SEARCH[0] <= relayed.once - unread.once <= A_SEARCH[1]


class Line(NamedTuple):
    """Calls: so many for each delta, and so many for an answer without any."""

    per_event: float
    once: float


def measured(served: Callable[[list[bytes]], FastAPI], chunking: Chunking) -> tuple[Line, Line]:
    """What answers cost to relay, and to read only."""

    def relayed(deltas: int) -> int:
        shape = Shape(deltas)
        return asyncio.run(search(served(chunking(shape)), shape))

    def unread(deltas: int) -> int:
        return asyncio.run(read(chunking(Shape(deltas))))

    relayed(SHORT)  # What is done once in a process
    return line(relayed), line(unread)


def line(calls: Callable[[int], int]) -> Line:
    short, long = calls(SHORT), calls(LONG)
    per_event = (long - short) / (LONG - SHORT)
    return Line(per_event, short - per_event * SHORT)
