"""Readers who are cut at any byte and come back through nginx, to whichever replica is next."""

import asyncio
from pathlib import Path

from tests.e2e.replicas.three import PACED, three
from tests.e2e.test_nginx import SHIPPED, nginx
from tests.e2e.test_resume import CutCaller
from tests.service import Running
from tests.wire import events_of, last_id, replay

AT_ONCE = 20
CUTS = (4, 3, 3)
"""Of one search after the other: a thousand of three hundred."""


class CutReader(CutCaller):
    """One whose connection breaks so many times before the last event has come."""

    async def read(self, cuts: int) -> None:
        await self._open_gate()
        for _ in range(cuts):
            await self._read(self.chance.randrange(self.chance.choice([300, 1_500, 5_000])))
            assert events_of(self.got)[-1:] != [b"search.completed"]
        await self._read(None)
        assert events_of(self.got)[-1] == b"search.completed"


async def cut_through_nginx(folder: Path, *, searches: int) -> None:
    """Every replica has the log that the readers put together, and each search was one call."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with three(knobs=PACED, TRUSTED_PROXIES="127.0.0.1/32") as replicas:
        urls = [one.process.url for one in replicas.replicas]
        servers = " ".join(f"server {url.removeprefix('http://')};" for url in urls)
        gateway = nginx(folder, 0, SHIPPED.replace("server 127.0.0.1:8000;", servers))
        async with gateway as url:
            front = Running(url, replicas.any().http, "", replicas.simulator)

            async def search(number: int) -> None:
                async with slots:
                    reader = CutReader(front, number)
                    await reader.read(CUTS[number % len(CUTS)])
                    search_id = last_id(reader.got).partition(":")[0]
                    logs = [await replay(one, search_id) for one in urls]
                    assert logs == [reader.got] * len(urls)

            await asyncio.gather(*map(search, range(searches)))
        assert replicas.record.total == replicas.record.billed == searches
        elsewhere = 'imagesearch_resumes_total{where="redis"}'
        found = [await one.metric(elsewhere) for one in replicas.replicas]
        assert min(found) > 0
        assert sum(found) > searches


async def test_readers_who_are_cut_come_back_anywhere_and_miss_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(110):
        await cut_through_nginx(tmp_path, searches=20)
