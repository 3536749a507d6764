import asyncio

from app.silence import Silence
from tests.clock import settle, skip


def watched(after_s: float) -> tuple[Silence, list[float]]:
    """A silence that is watched, and when it was broken, from now."""
    loop = asyncio.get_running_loop()
    began, broken = loop.time(), list[float]()
    silence = Silence(after_s, lambda: broken.append(round(loop.time() - began)))
    silence.watch()
    return silence, broken


async def passes(seconds: float) -> None:
    skip(seconds)
    await settle(3)


async def test_every_so_many_seconds_of_silence_are_told() -> None:
    silence, broken = watched(10)
    for _ in range(6):
        await passes(5)
    assert broken == [10, 20, 30]
    silence.stop()


async def test_what_is_heard_puts_it_off() -> None:
    silence, broken = watched(10)
    for _ in range(4):
        await passes(8)
        silence.heard_at = asyncio.get_running_loop().time()
    assert broken == []
    await passes(9)
    assert broken == []
    await passes(1)
    assert broken == [42]
    silence.stop()


async def test_nothing_is_told_once_it_is_stopped() -> None:
    silence, broken = watched(10)
    silence.stop()
    await passes(100)
    assert broken == []


async def test_whoever_is_told_may_stop_it() -> None:
    calls: list[None] = []

    def once() -> None:
        calls.append(None)
        silence.stop()

    silence = Silence(10, once)
    silence.watch()
    for _ in range(5):
        await passes(10)
    assert len(calls) == 1


async def test_zero_is_never() -> None:
    _, broken = watched(0)
    await passes(1_000_000)
    assert broken == []
