import asyncio

import pytest

from app.errors import UpstreamTimeout
from app.upstream.patience import Patience
from tests.clock import settle, skip


def patience(*, first_event_s: float = 60, idle_s: float = 180, total_s: float = 310) -> Patience:
    return Patience(first_event_s=first_event_s, idle_s=idle_s, total_s=total_s)


async def silence() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_comes_in_time_is_given_back() -> None:
    assert await patience().first(asyncio.sleep(0, "first")) == "first"
    assert await patience().idle(asyncio.sleep(0, "more")) == "more"


async def test_the_first_event_has_one_deadline_however_often_it_is_awaited() -> None:
    limits = patience()
    skip(59)
    await limits.first(asyncio.sleep(0))
    skip(2)
    with pytest.raises(UpstreamTimeout, match="first event"):
        await limits.first(silence())


async def test_silence_is_counted_anew_for_every_chunk() -> None:
    limits = patience(total_s=0)
    for _ in range(3):
        skip(179)
        await limits.idle(asyncio.sleep(0))


async def test_the_total_wins_where_it_is_nearer() -> None:
    limits = patience()
    skip(311)
    with pytest.raises(UpstreamTimeout, match="total"):
        await limits.idle(silence())


async def test_a_time_out_of_the_socket_is_not_taken_for_ours() -> None:
    async def stall() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError) as caught:
        await patience().first(stall())
    assert not isinstance(caught.value, UpstreamTimeout)


async def test_a_timer_that_rings_while_nobody_waits_harms_nobody() -> None:
    async with patience() as limits:
        await limits.first(asyncio.sleep(0))
        skip(61)
        await settle()
        await limits.idle(asyncio.sleep(0))
        waiting = asyncio.ensure_future(settle())
        await limits.idle(waiting)


async def test_a_cancellation_by_somebody_else_is_not_taken_for_a_time_out() -> None:
    async def wait() -> None:
        await patience().idle(silence())

    task = asyncio.create_task(wait())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_a_time_out_wins() -> None:
    async def wait() -> None:
        await patience().idle(silence())

    task = asyncio.create_task(wait())
    await settle()
    skip(181)
    asyncio.get_running_loop().call_soon(task.cancel)
    await settle()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_limits_that_are_off_never_strike() -> None:
    limits = patience(first_event_s=0, idle_s=0, total_s=0)
    task = asyncio.create_task(limits.idle(silence()))
    await settle()
    skip(10**6)
    await settle()
    assert not task.done()
    task.cancel()
