"""Waiting for a run on behalf of a caller who may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request

from app.runs import Run

CLIENT_GONE = 499
"""nginx's status for a caller that left before the answer; nobody receives it."""


async def ended_before_caller_left(request: Request, run: Run) -> bool:
    """Wait for whichever comes first; the request's body must have been read."""
    return await came_before_caller_left(request, run.finished())


async def came_before_caller_left(request: Request, coming: Coroutine[Any, Any, None]) -> bool:
    """Do the same for anything that can be waited for, and raise what that raises."""
    came = asyncio.create_task(coming)
    left = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({came, left}, return_when=asyncio.FIRST_COMPLETED)
        if came.done():
            await came
        return came.done()
    finally:
        came.cancel()
        left.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
