"""Waiting for work that is of no use any more when something else happens first."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from app.runs import Reader

T = TypeVar("T")


async def wait_unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, or cancel it and raise `ClientDisconnect` when the client leaves.

    The request's body must have been read.
    """
    return await wait_unless(disconnected(request.receive), work, error=ClientDisconnect())


async def wait_as_reader(
    request: Request, reader: Reader, happens: Coroutine[Any, Any, None]
) -> None:
    """The same with an open reader, which is closed if the wait fails."""
    try:
        await wait_unless_disconnected(request, happens)
    except BaseException:
        reader.close()
        raise


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_unless(
    happens: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T], *, error: Exception
) -> T:
    """Await `work`, or cancel it and raise `error` when something `happens` by then."""
    working, happening = asyncio.ensure_future(work), asyncio.ensure_future(happens)
    try:
        await asyncio.wait({working, happening}, return_when=asyncio.FIRST_COMPLETED)
        if happening.done():
            raise error
        return working.result()
    finally:
        happening.cancel()
        if working.cancel():
            # What it holds is given back before anything else happens.
            await asyncio.wait({working})
