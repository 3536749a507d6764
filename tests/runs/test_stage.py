import asyncio

import pytest

from app.runs.stage import Stage
from tests.clock import settle, skip


async def test_all_that_wait_go_on_when_it_is_reached() -> None:
    stage = Stage()
    waiting = [asyncio.create_task(stage.wait()) for _ in range(3)]
    await settle()
    assert not any(one.done() for one in waiting)
    stage.reach()
    assert await asyncio.gather(*waiting) == [True, True, True]


async def test_nobody_waits_for_what_is_reached() -> None:
    stage = Stage()
    stage.reach()
    stage.reach()
    assert stage.reached
    assert await stage.wait(0)


async def test_the_wait_may_be_bounded() -> None:
    stage = Stage()
    waiting, patient = asyncio.create_task(stage.wait(5)), asyncio.create_task(stage.wait())
    await settle()
    skip(5.1)
    assert await waiting is False
    assert not patient.done()
    stage.reach()
    assert await patient


async def test_one_that_is_cancelled_leaves_the_others_waiting() -> None:
    stage = Stage()
    leaving, staying = asyncio.create_task(stage.wait()), asyncio.create_task(stage.wait(60))
    await settle()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not staying.done()
    stage.reach()
    assert await staying


async def test_the_last_moment_counts() -> None:
    stage = Stage()
    waiting = asyncio.create_task(stage.wait(5))
    await settle()
    skip(5.1)
    stage.reach()
    assert await waiting
