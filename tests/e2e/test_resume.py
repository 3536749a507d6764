"""A stream that was cut goes on where it was cut, as often as it takes, and is paid for once."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from simulator.pictures import PICTURES
from tests.clock import settle, skip
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, events_of, last_id, request, whole_frames

RUNS = 1_000
AT_ONCE = 25
"""Runs under way at a time; each has two connections at most."""

URL = GALLERY_URL + PICTURES[7].name
NEVER = "srch_" + "0" * 32
Way = Callable[[dict[str, Any], str], bytes]


def by_get(asked: dict[str, Any], seen: str) -> bytes:
    return request("GET", "/search/stream", query=asked, headers={"Last-Event-ID": seen})


def by_post(asked: dict[str, Any], seen: str) -> bytes:
    return request("POST", "/search/stream", body=asked, headers={"Last-Event-ID": seen})


def by_post_of_something_else(_: dict[str, Any], seen: str) -> bytes:
    return request("POST", "/search/stream", body={"x": 1}, headers={"Last-Event-ID": seen})


def by_header(_: dict[str, Any], seen: str) -> bytes:
    path = f"/search/{seen.partition(':')[0]}/stream"
    return request("GET", path, headers={"Last-Event-ID": seen})


def by_number(_: dict[str, Any], seen: str) -> bytes:
    search_id, number = seen.split(":")
    return request("GET", f"/search/{search_id}/stream", query={"after": number})


WAYS: list[Way] = [by_get, by_post, by_post_of_something_else, by_header, by_number]


class CutCaller:
    """A client whose connection breaks at random bytes, and who comes back in random ways."""

    def __init__(self, service: Running, seed: int) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.tag = f"run-{seed}"
        scenario = self.chance.choice(
            [
                "normal",
                "normal pace=0.001",
                "split_utf8",
                "multi_data_lines",
                f"gated tag={self.tag}",
            ]
        )
        self.asked = {"image_url": URL, "prompt": f"[sim {scenario}] {seed} 你好"}
        self.got = b""
        self.cuts = 0

    async def run(self) -> None:
        """Follow one search to its end through all the cuts."""
        cuts = self.chance.randrange(1, 6)
        while cuts and not self.ended:
            if cuts == 1 or self.chance.random() < 0.3:
                await self._open_gate()
            await self._connect(self.chance.choice([300, 1_500, 6_000, 20_000]))
            cuts -= 1
        await self._open_gate()
        if not self.ended:
            await self._connect(None)
        assert self.ended
        await self._compare()

    @property
    def ended(self) -> bool:
        return events_of(self.got)[-1:] == [b"search.completed"]

    async def _connect(self, most_bytes: int | None) -> None:
        """Read on, and be cut somewhere within so many bytes: also in the middle of an event."""
        async with dial(self.service.url) as wire:
            wire.send(self._question())
            head = await wire.head()
            assert head.status == 200
            stream = b""
            if most_bytes is None:
                stream = await wire.rest()
            else:
                wanted = self.chance.randrange(min(most_bytes, self._sure_bytes(most_bytes)))
                while len(stream) < wanted and (piece := await wire.piece()):
                    stream += piece
                stream = stream[:wanted]
                self.cuts += 1
                if self.chance.random() < 0.5:
                    wire.reset()
            self.got += whole_frames(stream)

    def _sure_bytes(self, most_bytes: int) -> int:
        """How much surely comes while the gate is shut: two events, for who has none yet."""
        if self._opened or "gated" not in self.asked["prompt"]:
            return most_bytes
        return 1 if self.got else 600

    @property
    def _opened(self) -> bool:
        assert self.service.simulator is not None
        return bool(self.service.simulator.state.gate.at(self.tag).is_set())

    async def _open_gate(self) -> None:
        assert self.service.simulator is not None
        await self.service.simulator.state.gate.open(self.tag)

    def _question(self) -> bytes:
        if seen := last_id(self.got):
            return self.chance.choice(WAYS)(self.asked, seen)
        # Nothing seen yet: a client can only ask again, and joins what it began.
        if self.chance.random() < 0.5:
            return request("GET", "/search/stream", query=self.asked)
        return request("POST", "/search/stream", body=self.asked)

    async def _compare(self) -> None:
        """Hold it against a stream that was never cut, and see that nothing more comes."""
        search_id, _, count = last_id(self.got).partition(":")
        async with dial(self.service.url) as wire:
            wire.send(request("GET", f"/search/{search_id}/stream"))
            await wire.head()
            assert whole_frames(await wire.rest()) == self.got
        assert len(events_of(self.got)) == int(count)
        way = self.chance.choice(WAYS)
        assert await statuses(self.service, [way], self.asked, last_id(self.got)) == {204}


async def statuses(service: Running, ways: list[Way], asked: dict[str, Any], seen: str) -> set[int]:
    """What each way of coming back is answered with."""
    found = set()
    for way in ways:
        async with dial(service.url) as wire:
            wire.send(way(asked, seen))
            found.add((await wire.head()).status)
    return found


@pytest.mark.timeout(300)
async def test_streams_cut_at_random_are_in_the_end_as_if_they_never_were() -> None:
    cut = asyncio.Semaphore(AT_ONCE)
    callers = []

    async def follow(seed: int) -> None:
        async with cut:
            callers.append(CutCaller(service, seed))
            await callers[-1].run()

    async with running(search_store_max_bytes=0) as service:
        async with asyncio.TaskGroup() as group:
            for seed in range(RUNS):
                group.create_task(follow(seed))
        assert service.record.total == service.record.billed == RUNS
        assert {call.finished for call in service.record.calls} == {"completed"}
    assert sum(caller.cuts for caller in callers) > RUNS


@pytest.mark.parametrize("way", WAYS)
async def test_a_running_search_goes_on_behind_the_event_that_was_seen(way: Way) -> None:
    asked = {"image_url": URL, "prompt": "[sim gated tag=live]"}
    async with running() as service:
        assert service.simulator is not None
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=asked))
            head = await wire.head()
            seen = await read_events(wire, 3)
        async with dial(service.url) as wire:
            wire.send(way(asked, last_id(seen)))
            again = await wire.head()
            assert again.status == 200
            assert again.headers["x-search-id"] == head.headers["x-search-id"]
            await service.simulator.state.gate.open("live")
            seen += whole_frames(await wire.rest())
        _, whole = await service.stream("GET", f"/search/{head.headers['x-search-id']}/stream")
        assert len(events_of(seen)) == len(whole)
        assert service.record.total == 1


async def read_events(wire: Wire, count: int) -> bytes:
    """The first whole events of a stream."""
    stream = b""
    while len(events_of(whole_frames(stream))) < count:
        stream += await wire.piece()
    return whole_frames(stream)


async def test_a_number_that_was_never_given_out_waits_for_what_comes_next() -> None:
    asked = {"image_url": URL, "prompt": "[sim gated tag=live]"}
    async with running() as service:
        assert service.simulator is not None
        async with dial(service.url) as wire, dial(service.url) as ahead:
            wire.send(request("POST", "/search/stream", body=asked))
            search_id = (await wire.head()).headers["x-search-id"]
            ahead.send(by_number(asked, f"{search_id}:9999"))
            assert (await ahead.head()).status == 200
            await service.simulator.state.gate.open("live")
            whole = whole_frames(await wire.rest())
            assert events_of(whole_frames(await ahead.rest()))[-1] == events_of(whole)[-1]
        assert await statuses(service, WAYS, asked, f"{search_id}:9999") == {204}


async def test_what_is_unknown_is_never_begun_anew() -> None:
    asked = {"image_url": URL}
    async with running(search_retention_s=600) as service:
        search_id = (await service.http.post("/search", json=asked)).headers["x-search-id"]
        assert await statuses(service, WAYS, asked, f"{NEVER}:1") == {404}
        for malformed in ("1", search_id, f"{search_id}:", f"{search_id}:-1", f"{search_id}:01"):
            assert await statuses(service, WAYS[:3], asked, malformed) == {404}
        path = f"/search/{search_id}/stream"
        foreign = await service.http.get(path, headers={"Last-Event-ID": f"{NEVER}:1"})
        assert (foreign.status_code, foreign.json()["code"]) == (404, "search_not_found")
        for number in ("x", "-1", "1.5", "9" * 10):
            refused = await service.http.get(path, params={"after": number})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert await statuses(service, WAYS, asked, f"{search_id}:0") == {200}
        skip(600)
        await settle()
        assert await statuses(service, WAYS, asked, f"{search_id}:1") == {404}
        for method in ("GET", "DELETE"):
            gone = await service.http.request(method, f"/search/{search_id}")
            assert (gone.status_code, gone.json()["code"]) == (404, "search_not_found")
        assert service.record.total == 1
