"""Replicas are replaced one by one while streams are read: each has its end, none is paid twice."""

import asyncio
import os
import sys
from contextlib import aclosing
from signal import SIGTERM

import httpx
import pytest

from simulator import Knobs
from tests.e2e.asking import IMAGE_URL
from tests.e2e.replicas.three import TERMINAL, Replica, Three, three
from tests.service import KEY, ServerSentEvent, read_events

STREAMS = int(os.environ.get("REPLICA_STREAMS", "20"))
LONGEST_S = 200 + 3 * STREAMS
PACED = Knobs(key=KEY, pace_s=0.15, silence_s=0.5)


class Caller:
    """Searches until told to stop; comes back wherever its stream is cut."""

    def __init__(self, replicas: Three, number: int) -> None:
        self._replicas, self._number = replicas, number
        self.ends: list[ServerSentEvent] = []
        self.cuts = 0

    async def search_until(self, stopping: asyncio.Event) -> None:
        turn = 0
        while not stopping.is_set():
            turn += 1
            body = {"image_url": IMAGE_URL, "prompt": f"{self._number}.{turn}"}
            got: list[ServerSentEvent] = []
            while not (got and got[-1].event in TERMINAL):
                seen = len(got)
                try:
                    await self._read(body, got)
                except httpx.NetworkError:  # Not accepted any more; no stream ends like this.
                    assert len(got) == seen
            numbers = [int(one.id.partition(":")[2]) for one in got]
            assert numbers == list(range(1, len(got) + 1))
            self.ends.append(got[-1])

    async def _read(self, body: dict[str, str], got: list[ServerSentEvent]) -> None:
        """Read a stream's first event, or its rest: to a cut, maybe; who drains refuses."""
        headers = {"Last-Event-ID": got[-1].id} if got else {}
        http = self._replicas.any().http
        async with http.stream("POST", "/search/stream", json=body, headers=headers) as response:
            if response.status_code == 503:
                await asyncio.sleep(0.1)
                return
            assert response.status_code == 200, await response.aread()
            async with aclosing(read_events(response)) as events:
                async for event in events:
                    got.append(event)
                    if len(got) == 1:
                        return  # The rest is read wherever, so that most follow another replica.
        self.cuts += got[-1].event not in TERMINAL


async def replace(replicas: Three, old: Replica) -> None:
    await replicas.add()
    replicas.replicas.remove(old)
    old.process.signal(SIGTERM)
    assert await old.process.ended() == 0, old.process.said[-3000:]


@pytest.mark.timeout(LONGEST_S + 5)
async def test_streams_outlive_the_replacement_of_all_replicas() -> None:
    async with asyncio.timeout(LONGEST_S), three(knobs=PACED, SHUTDOWN_GRACE_S="2") as replicas:
        callers, stopping = [Caller(replicas, n) for n in range(STREAMS)], asyncio.Event()
        searching = [asyncio.create_task(one.search_until(stopping)) for one in callers]
        for old in list(replicas.replicas):
            await replace(replicas, old)
        stopping.set()
        await asyncio.gather(*searching)
        ends = [end for caller in callers for end in caller.ends]
        codes = {one.json()["error"]["code"] for one in ends if one.event == "search.failed"}
        assert codes <= {"draining"}
        drained = sum(end.event == "search.failed" for end in ends)
        cuts = sum(caller.cuts for caller in callers)
        sys.stdout.write(f"{len(ends)} searches, {drained} draining, {cuts} readers cut\n")
        assert len(ends) == replicas.record.total
        assert (await replicas.usage())["reserved"] == 0
