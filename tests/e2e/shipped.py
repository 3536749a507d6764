"""`python -m app` as a process, in front of a stand-in in the test's own loop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from simulator import create_app as create_simulator
from tests.processes import Process, in_front_of, started
from tests.service import FAST, KEY, served

GUARD_S = 100


@asynccontextmanager
async def shipped(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The process and a client of it; it is told to end behind the block, and has to end well."""
    async with asyncio.timeout(GUARD_S), served(create_simulator(FAST)) as upstream_url:
        given = in_front_of(upstream_url, KEY) | {"SHUTDOWN_GRACE_S": "1"}
        async with (
            started("app", **(given | settings)) as process,
            httpx.AsyncClient(base_url=process.url, timeout=30) as http,
        ):
            yield process, http
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
