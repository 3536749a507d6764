"""Does memory stay level over twenty thousand searches? `make soak`; SOAK_SEARCHES=N: so many."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.client import Client
from bench.processes import Server
from bench.running import Running, running
from bench.subjects import Ports, Subject, subjects
from bench.upstream import Answer

SEARCHES = int(os.environ.get("SOAK_SEARCHES", "0"))
AT_ONCE, SAMPLES = 20, 10
RETENTION_S, FORGET_S = "2", 3
# CPython takes memory in arenas of 1 MiB; one event left behind by each search would be 5 MiB.
LEVEL_BYTES = 4 * 2**20

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SEARCHES, reason="takes minutes: make soak"),
]


def forgetful_service() -> Subject:
    subject = next(one for one in subjects({}) if one.name == "service")
    short = {"SEARCH_RETENTION_S": RETENTION_S, "RESPONSE_OWNER_TTL_S": RETENTION_S}

    def server(folder: Path, ports: Ports) -> Server:
        plain = subject.server(folder, ports)
        return replace(plain, env=plain.env | short | {"CACHE_TTL_S": "0"})

    return replace(subject, server=server)


async def search(target: Running, count: int) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            client = await Client.connect(target.port)
            request = target.subject.api.search(next(target.numbers), stream=number % 2 == 0)
            await (client.open if number % 10 == 0 else client.ask)(request)
            client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(caller())


async def samples(target: Running) -> list[int]:
    found = []
    await target.set_answer(Answer(deltas=90))
    await search(target, SEARCHES // 4)
    for _ in range(SAMPLES):
        await asyncio.sleep(FORGET_S)
        found.append(target.memory_bytes())
        await search(target, SEARCHES // SAMPLES)
    await asyncio.sleep(FORGET_S)
    return [*found, target.memory_bytes()]


def test_memory_is_level_after_thousands_of_searches() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with running(forgetful_service(), subject_core=cores[0], load_core=cores[-1]) as target:
        measured = asyncio.run(samples(target))
    sys.stdout.write(f"{[rss_bytes // 2**20 for rss_bytes in measured]} MiB\n")
    assert measured[-1] - measured[SAMPLES // 2] <= LEVEL_BYTES, measured
