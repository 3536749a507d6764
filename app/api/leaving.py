"""Waiting for a run on behalf of a caller who may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request

from app.api.feed import outlet_of
from app.runs import Run

CLIENT_GONE = 499
"""nginx's status for a caller that left before the answer; nobody receives it."""


async def ended_before_caller_left(request: Request, run: Run) -> bool:
    """Wait for whichever comes first; the request's body must have been read."""
    return await came_before_caller_left(request, run.finished())


async def came_before_caller_left(request: Request, coming: Coroutine[Any, Any, None]) -> bool:
    """Do the same for anything that can be waited for, and raise what that raises."""
    task, left = asyncio.current_task(), False

    def leave() -> None:
        nonlocal left
        if task and not left:
            left = task.cancel()

    outlet = outlet_of(request.scope, request.receive)
    outlet.on_lost(leave)
    try:
        await coming
    except asyncio.CancelledError:
        # Somebody else's cancellation, alone or beside ours, goes on its way.
        if not left or (task and task.uncancel()):
            raise
        return False
    finally:
        outlet.close()
    return True
