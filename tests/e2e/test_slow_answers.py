"""A plain answer waits for a reader who reads on; for streams see `test_slow_readers.py`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakSet

import pytest

from app.protocol import AbortableProtocol
from tests.clock import settle, skip, until
from tests.service import running
from tests.wire import Wire, dial, send_at_once

READERS = 50
SEND_TIMEOUT_S = 30
KEEP_ALIVE_S = 5
"""uvicorn's own, which these tests serve with."""
RECEIVE_BYTES = 4_096
LEFT_BYTES = 8_192
"""Too little for an answer to be held up, and more than the kernel takes in by and by."""
GUARD_S = 3_600
DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> WeakSet[AbortableProtocol]:
    """The service's connections."""
    connections: WeakSet[AbortableProtocol] = WeakSet()
    make = AbortableProtocol.connection_made

    def connection_made(one: AbortableProtocol, transport: asyncio.Transport) -> None:
        connections.add(one)
        make(one, transport)

    def connection_lost(one: AbortableProtocol, exc: Exception | None) -> None:
        connections.discard(one)
        lose(one, exc)

    lose = AbortableProtocol.connection_lost
    monkeypatch.setattr(AbortableProtocol, "connection_made", connection_made)
    monkeypatch.setattr(AbortableProtocol, "connection_lost", connection_lost)
    return connections


@asynccontextmanager
async def suspended(url: str) -> AsyncIterator[Wire]:
    """A reader who takes nothing."""
    async with dial(url, receive_bytes=RECEIVE_BYTES) as wire:
        wire.stop_reading()
        yield wire
        wire.reset()


@pytest.mark.parametrize("pipelined", [1, 40])
async def test_readers_who_take_nothing_of_a_plain_answer_are_dropped(
    pipelined: int, made: WeakSet[AbortableProtocol], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.unsent")
    async with asyncio.timeout(GUARD_S), running() as service, AsyncExitStack() as stack:
        for _ in range(READERS):
            wire = await stack.enter_async_context(suspended(service.url))
            wire.send(DOCUMENT * pipelined)
        await until(lambda: len(made) == READERS)
        await until(lambda: all(one.flow.write_paused for one in made))
        skip(SEND_TIMEOUT_S - 1)
        await settle()
        assert len(made) == READERS
        skip(1)
        await until(lambda: not made)
    dropped = [line for line in caplog.messages if line.startswith("reader dropped")]
    assert len(dropped) == READERS


async def test_a_connection_does_not_wait_for_ever_to_be_closed(
    made: WeakSet[AbortableProtocol],
) -> None:
    async with asyncio.timeout(GUARD_S), running() as service, suspended(service.url) as wire:
        await until(lambda: len(made) == 1)
        (one,) = made
        send_at_once(wire)
        while one.transport.get_write_buffer_size() < LEFT_BYTES:
            wire.send(ALIVE)
            await settle()
        assert not one.flow.write_paused
        skip(KEEP_ALIVE_S)
        await until(one.transport.is_closing)
        await settle()
        assert made
        skip(SEND_TIMEOUT_S)
        await until(lambda: not made)


async def test_where_time_is_not_limited_a_reader_may_take_nothing(
    made: WeakSet[AbortableProtocol],
) -> None:
    async with (
        asyncio.timeout(GUARD_S),
        running(stream_send_timeout_s=0) as service,
        suspended(service.url) as wire,
    ):
        wire.send(DOCUMENT)
        await until(lambda: any(one.flow.write_paused for one in made))
        skip(100 * SEND_TIMEOUT_S)
        await settle()
        assert made


async def test_a_slow_reader_gets_all_of_it() -> None:
    count = 20
    async with asyncio.timeout(GUARD_S), running() as service:
        whole = len((await service.http.get("/openapi.json")).content)
        async with dial(service.url, receive_bytes=RECEIVE_BYTES, limit_bytes=2**14) as wire:
            wire.send(DOCUMENT * count)
            for _ in range(count):
                await settle()
                skip(SEND_TIMEOUT_S - 5)
                _, headers = await wire.head()
                assert int(headers["content-length"]) == whole
                await wire.reader.readexactly(whole)
