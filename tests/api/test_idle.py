"""How long nothing may come of a body: one timer, put off by what comes."""

import asyncio

import pytest

from app.api.idle import Idle
from tests.clock import settle, skip


class Waiting:
    """A task that waits inside an `Idle` for what never comes."""

    def __init__(self, idle_s: float) -> None:
        self.idle = Idle(idle_s)
        self.task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        async with self.idle:
            await asyncio.get_running_loop().create_future()

    async def after(self, seconds: float) -> bool:
        """Whether it still waits when so much time has passed."""
        await settle()
        skip(seconds)
        # A timer that was put off is due at once, and rings at the next turn but one.
        await asyncio.sleep(0.001)
        await settle()
        return not self.task.done()

    async def leave(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def test_silence_ends_the_wait() -> None:
    waiting = Waiting(15)
    assert await waiting.after(14.9)
    assert not await waiting.after(0.1)
    with pytest.raises(TimeoutError):
        await waiting.task


async def test_silence_is_counted_from_what_came_last() -> None:
    waiting = Waiting(15)
    for _ in range(3):
        assert await waiting.after(10)
        waiting.idle.heard()
    assert await waiting.after(14.9)
    assert not await waiting.after(0.1)
    with pytest.raises(TimeoutError):
        await waiting.task


async def test_zero_waits_for_ever() -> None:
    waiting = Waiting(0)
    assert await waiting.after(1_000_000)
    await waiting.leave()


async def test_somebody_elses_cancellation_goes_on_its_way() -> None:
    waiting = Waiting(15)
    assert await waiting.after(14.9)
    await waiting.leave()


async def test_a_wait_that_ended_well_is_not_ended_again() -> None:
    async with Idle(15):
        await settle()
    skip(16)
    await settle()
