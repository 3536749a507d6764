"""`python -m app` as a process, in front of a stand-in in the test's own loop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from simulator import create_app as create_simulator
from tests.processes import Process, started
from tests.service import FAST, KEY, served

GUARD_S = 100


@asynccontextmanager
async def shipped(**settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The process and a client of it; it is told to end behind the block, and has to end well."""
    async with asyncio.timeout(GUARD_S), served(create_simulator(FAST)) as upstream_url:
        given = {
            "DASHSCOPE_API_KEY": KEY,
            "DASHSCOPE_BASE_URL": f"{upstream_url}/compatible-mode/v1",
            "RATE_LIMIT": "0",
            "SHUTDOWN_GRACE_S": "1",
            "PORT": "0",
        }
        async with (
            started("app", **(given | settings)) as process,
            httpx.AsyncClient(base_url=process.url, timeout=30) as http,
        ):
            yield process, http
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
