"""Waiting without sleeping: for something to be done, or for what the service says over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from tests.clock import settle, skipping_pauses

T = TypeVar("T")


async def hurried(doing: Awaitable[T]) -> T:
    """Wait until it is done; pauses in which nothing moves take no time."""
    with skipping_pauses():
        return await doing


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """Ask again and again until it holds."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await settle(5)


async def shown(http: httpx.AsyncClient, path: str, text: str) -> None:
    """Ask for a path again and again until the answer has this text."""

    async def holds() -> bool:
        return text in (await http.get(path)).text

    await eventually(holds)
