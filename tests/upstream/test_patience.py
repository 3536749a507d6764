import asyncio
from contextlib import closing

import pytest

from app.errors import UpstreamTimeout
from app.upstream.patience import Patience
from tests.clock import settle, skip


def patience(*, first_event_s: float = 60, idle_s: float = 180, total_s: float = 310) -> Patience:
    return Patience(first_event_s=first_event_s, idle_s=idle_s, total_s=total_s)


async def silence() -> None:
    await asyncio.get_running_loop().create_future()


async def wait_for_more(*, total_s: float = 310) -> None:
    with patience(total_s=total_s).idle():
        await silence()


async def test_the_first_event_has_one_deadline_however_often_it_is_awaited() -> None:
    limits = patience()
    skip(59)
    with limits.first():
        await settle()
    skip(2)
    with pytest.raises(UpstreamTimeout, match="first event"), limits.first():
        await silence()


async def test_silence_is_counted_anew_for_every_chunk() -> None:
    limits = patience(total_s=0)
    with limits.first():
        for _ in range(3):
            limits.idle()
            skip(179)
            await settle()
    asyncio.get_running_loop().call_soon(skip, 181)
    with pytest.raises(UpstreamTimeout, match="idle"), limits.idle():
        await silence()


async def test_the_total_wins_where_it_is_nearer() -> None:
    limits = patience()
    skip(311)
    with pytest.raises(UpstreamTimeout, match="total"), limits.idle():
        await silence()


async def test_a_time_out_of_the_socket_is_not_taken_for_ours() -> None:
    with pytest.raises(TimeoutError) as caught, patience().first():
        raise TimeoutError
    assert not isinstance(caught.value, UpstreamTimeout)


async def test_a_timer_that_rings_while_nobody_waits_harms_nobody() -> None:
    with closing(patience()) as limits:
        with limits.first():
            await settle()
        skip(61)
        await settle()
        with limits.idle():
            await settle()


async def test_a_timer_that_rings_early_is_put_off() -> None:
    limits = patience(total_s=0)
    with limits.first():
        await settle()
        limits.idle()
        skip(61)
        await settle()
    asyncio.get_running_loop().call_soon(skip, 181)
    with pytest.raises(UpstreamTimeout, match="idle"), limits.idle():
        await silence()


async def test_a_closed_one_never_rings() -> None:
    with closing(patience()) as limits, limits.first():
        await settle()
    skip(61)
    await settle()


async def test_a_cancellation_by_somebody_else_is_not_taken_for_a_time_out() -> None:
    task = asyncio.create_task(wait_for_more())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_a_time_out_wins() -> None:
    task = asyncio.create_task(wait_for_more())
    await settle()
    skip(181)
    asyncio.get_running_loop().call_soon(task.cancel)
    await settle()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_limits_that_are_off_never_strike() -> None:
    async def wait() -> None:
        with patience(first_event_s=0, idle_s=0, total_s=0).idle():
            await silence()

    task = asyncio.create_task(wait())
    await settle()
    skip(10**6)
    await settle()
    assert not task.done()
    task.cancel()
