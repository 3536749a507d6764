"""Does memory stay level over twenty thousand searches? `make soak`; SOAK_SEARCHES=N: so many."""

import asyncio
import os
import sys

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.images.workers import resident_bytes
from tests.processes import Process, service, simulator
from tests.wire import dial, request

SEARCHES = int(os.environ.get("SOAK_SEARCHES", "0"))
AT_ONCE, SAMPLES = 20, 10
FORGET_S = 3
FORGETFUL = {"SEARCH_RETENTION_S": "2", "RESPONSE_OWNER_TTL_S": "2", "CACHE_TTL_S": "0"}
LEVEL_BYTES = 4 * 2**20
"""CPython takes memory in arenas of 1 MiB; one event left behind by each search would be 5 MiB."""

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not SEARCHES, reason="takes minutes: make soak"),
]


async def search(process: Process, number: int) -> None:
    """Read a search to its end; leave one in ten behind its head."""
    body = {"image_url": IMAGE_URL, "prompt": f"[sim normal] {number}"}
    path = "/search/stream" if number % 2 else "/search"
    async with dial(process.url) as wire:
        wire.send(request("POST", path, headers={"Connection": "close"}, body=body))
        await (wire.head() if number % 10 == 1 else wire.all())


async def test_memory_is_level_after_thousands_of_searches() -> None:
    numbers = iter(range(2 * SEARCHES))
    measured = []

    async def caller(last: int) -> None:
        while (number := next(numbers)) < last:
            await search(process, number)

    async with simulator() as upstream, service(upstream, **FORGETFUL) as process:
        # The first quarter is for what is taken once.
        for share in range(SAMPLES + 1):
            last = SEARCHES // 4 + share * SEARCHES // SAMPLES
            await asyncio.gather(*(caller(last) for _ in range(AT_ONCE)))
            await asyncio.sleep(FORGET_S)
            measured.append(resident_bytes(process.pid))
    sys.stdout.write(f"{[rss_bytes // 2**20 for rss_bytes in measured]} MiB\n")
    assert measured[-1] - measured[SAMPLES // 2] <= LEVEL_BYTES, measured
