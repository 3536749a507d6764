"""How names become addresses: one look-up at a time for each origin, for all who wait for it."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from app.upstream.http1 import Connection
from app.upstream.pool import Origin, Pool
from tests.clock import settle, skip
from tests.upstream.peer import listening

BURST = 150
TOLD = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class Resolver:
    """Answers look-ups when a test says so, with an address or an error."""

    def __init__(self, port: int = 9) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answered = asyncio.Event()
        self.error: Exception | None = None
        self._port = port

    async def look_up(self, host: str, port: int, **_: Any) -> Sequence[tuple[Any, ...]]:
        self.asked.append((host, port))
        await self.answered.wait()
        if self.error:
            raise self.error.with_traceback(None)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self._port))]


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", made.look_up)
    return made


@pytest.fixture
async def pool() -> Pool:
    return Pool(httpx.create_ssl_context(trust_env=False))


def taking(pool: Pool, host: str = "a.example", *, port: int = 80) -> asyncio.Task[Connection]:
    return asyncio.create_task(pool.take(Origin("http", host, port), connect_s=5))


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_burst_on_a_cold_pool_looks_its_host_up_once(
    pool: Pool, resolver: Resolver
) -> None:
    async with listening(silent) as resolver._port:
        burst = [taking(pool) for _ in range(BURST)]
        await settle()
        resolver.answered.set()
        assert len({await one for one in burst}) == BURST
        assert resolver.asked == [("a.example", 80)]
        await pool.aclose()


async def test_other_origins_have_look_ups_of_their_own_and_nothing_is_kept(
    pool: Pool, resolver: Resolver
) -> None:
    async with listening(silent) as resolver._port:
        resolver.answered.set()
        await asyncio.gather(taking(pool), taking(pool, "b.example"), taking(pool, port=81))
        assert resolver.asked == [("a.example", 80), ("b.example", 80), ("a.example", 81)]
        await taking(pool)
        assert len(resolver.asked) == 4
        assert not pool._looking
        await pool.aclose()


@pytest.mark.parametrize("who", [0, 1])
async def test_one_who_leaves_takes_the_look_up_from_nobody(
    pool: Pool, resolver: Resolver, who: int
) -> None:
    async with listening(silent) as resolver._port:
        both = [taking(pool), taking(pool)]
        await settle()
        both.pop(who).cancel()
        await settle()
        resolver.answered.set()
        assert (await both[0]).usable
        assert len(resolver.asked) == 1
        await pool.aclose()


async def test_a_failure_is_told_to_all_who_waited_and_to_nobody_after_them(
    pool: Pool, resolver: Resolver
) -> None:
    resolver.error = TOLD
    burst = [taking(pool) for _ in range(3)]
    await settle()
    resolver.answered.set()
    for error in await asyncio.gather(*burst, return_exceptions=True):
        assert type(error) is httpx.ConnectError
        assert error.__cause__ is TOLD
    assert len(resolver.asked) == 1
    async with listening(silent) as resolver._port:
        resolver.error = None
        assert (await taking(pool)).usable
        await pool.aclose()


@pytest.mark.parametrize("error", [TOLD, None])
async def test_a_look_up_that_all_have_left_ends_without_a_word(
    pool: Pool, resolver: Resolver, error: Exception | None
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    resolver.error = error
    burst = [taking(pool) for _ in range(3)]
    await settle()
    skip(6)
    for late in await asyncio.gather(*burst, return_exceptions=True):
        assert type(late) is httpx.ConnectTimeout
    resolver.answered.set()
    await settle()
    gc.collect()
    assert complaints == []
    assert not pool._looking


@pytest.mark.usefixtures("resolver")
async def test_closing_ends_a_look_up(pool: Pool) -> None:
    burst = [taking(pool) for _ in range(2)]
    await settle()
    for one in burst:
        one.cancel()
    await settle()
    (looking,) = pool._looking.values()
    await pool.aclose()
    assert looking.cancelled()


class Gone(socket.gaierror):
    """A failure of which can be told whether it is still there."""


async def test_nothing_holds_a_failure_that_was_told(pool: Pool, resolver: Resolver) -> None:
    resolver.error = Gone()
    failure = weakref.ref(resolver.error)
    gc.collect()
    gc.disable()
    try:
        burst = [taking(pool) for _ in range(2)]
        await settle()
        resolver.answered.set()
        await asyncio.wait(burst)
        await settle()
        resolver.error = None
        assert all(one.exception() for one in burst)
        burst.clear()
        assert failure() is None
    finally:
        gc.enable()
