"""Waiting without sleeping: for something to be done, or for what the service says over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from tests.clock import settle, skip

T = TypeVar("T")


async def hurried(doing: Coroutine[Any, Any, T], *, step_s: float = 0.25) -> T:
    """Put the clock forward, step by step, until it is done: pauses between tries take no time."""
    task = asyncio.create_task(doing)
    while not task.done():
        await settle(60)
        if not task.done():
            skip(step_s)
    return await task


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """Ask again and again until it holds."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await settle(5)
