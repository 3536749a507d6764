"""A stream that was cut goes on where it was cut, as often as it takes, and is paid for once."""

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.clock import settle, skip
from tests.e2e.asking import ASKED, IMAGE_URL
from tests.service import Running, running
from tests.wire import dial, events_of, last_id, request, whole_frames

SEARCHES = 200
AT_ONCE = 20
"""Searches under way at a time; each has two connections at most."""

NEVER = "srch_" + "0" * 32
Way = Callable[[dict[str, Any], str], bytes]


def by_get(body: dict[str, Any], seen: str) -> bytes:
    return request("GET", "/search/stream", query=body, headers={"Last-Event-ID": seen})


def by_post(body: dict[str, Any], seen: str) -> bytes:
    return request("POST", "/search/stream", body=body, headers={"Last-Event-ID": seen})


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
        scenarios = ["normal", "normal pace=0.001", "split_utf8", "multi_data_lines"]
        self.scenario = self.chance.choice([*scenarios, f"gated tag={self.tag}"])
        self.body = {"image_url": IMAGE_URL, "prompt": f"[sim {self.scenario}] {seed} 你好"}
        self.got = b""
        self.cuts = 0
        self.gate_is_open = "gated" not in self.scenario

    async def run(self) -> None:
        """Follow one search to its end through all the cuts."""
        for left in reversed(range(self.chance.randrange(1, 6))):
            if not left or self.chance.random() < 0.3:
                await self._open_gate()
            if not self.ended:
                await self._read_until_cut(self.chance.choice([300, 1_500, 6_000, 20_000]))
        await self._open_gate()
        if not self.ended:
            await self._read(None)
        assert self.ended
        await self._compare()

    @property
    def ended(self) -> bool:
        return events_of(self.got)[-1:] == [b"search.completed"]

    async def _read_until_cut(self, most_bytes: int) -> None:
        """Be cut somewhere within so many bytes: also in the middle of an event."""
        if not self.gate_is_open:
            # So much surely comes: two events, for who has none yet.
            most_bytes = 1 if self.got else 600
        await self._read(self.chance.randrange(most_bytes))
        self.cuts += 1

    async def _read(self, n_bytes: int | None) -> None:
        async with dial(self.service.url) as wire:
            wire.send(self._question())
            assert (await wire.head()).status == 200
            stream = b""
            while (n_bytes is None or len(stream) < n_bytes) and (piece := await wire.piece()):
                stream += piece
            if self.chance.random() < 0.5:
                wire.reset()
            self.got += whole_frames(stream[:n_bytes])

    async def _open_gate(self) -> None:
        self.gate_is_open = True
        await self.service.open_gate(self.tag)

    def _question(self) -> bytes:
        if seen := last_id(self.got):
            return self.chance.choice(WAYS)(self.body, seen)
        # Nothing seen yet: a client can only ask again, and joins the search that it began.
        if self.chance.random() < 0.5:
            return request("GET", "/search/stream", query=self.body)
        return request("POST", "/search/stream", body=self.body)

    async def _compare(self) -> None:
        """Hold it against a stream that was never cut, and see that nothing more comes."""
        search_id, _, count = last_id(self.got).partition(":")
        assert await replay(self.service, search_id) == self.got
        assert len(events_of(self.got)) == int(count)
        way = self.chance.choice(WAYS)
        assert await statuses(self.service, [way], self.body, last_id(self.got)) == {204}


async def replay(service: Running, search_id: str, *, after: int = 0) -> bytes:
    """The events of a search behind the first ones."""
    async with dial(service.url) as wire:
        wire.send(request("GET", f"/search/{search_id}/stream", query={"after": after}))
        assert (await wire.head()).status == 200
        return whole_frames(await wire.rest())


async def statuses(service: Running, ways: list[Way], body: dict[str, Any], seen: str) -> set[int]:
    """The statuses with which each way of coming back is answered."""
    found = set()
    for way in ways:
        async with dial(service.url) as wire:
            wire.send(way(body, seen))
            found.add((await wire.head()).status)
    return found


async def test_streams_cut_at_random_are_in_the_end_as_if_they_never_were() -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    callers = []

    async def follow(seed: int) -> None:
        async with slots:
            callers.append(CutCaller(service, seed))
            await callers[-1].run()

    async with running(search_store_max_bytes=0) as service:
        async with asyncio.TaskGroup() as group:
            for seed in range(SEARCHES):
                group.create_task(follow(seed))
        assert service.record.total == service.record.billed == SEARCHES
        assert {call.finished for call in service.record.calls} == {"completed"}
    assert sum(caller.cuts for caller in callers) > SEARCHES


async def test_a_stream_cut_in_any_event_goes_on_behind_the_last_whole_one() -> None:
    async with running() as service:
        answer = await service.http.post("/search", json=ASKED)
        whole = await replay(service, answer.json()["id"])
        ends = [0, *(found.end() for found in re.finditer(b"\n\n", whole))]
        for seen, end in enumerate(ends[:-1]):
            cut = whole_frames(whole[: ends[seen + 1] - 1])
            assert cut == whole[:end]
            assert int(last_id(cut).partition(":")[2] or 0) == seen
            assert await replay(service, answer.json()["id"], after=seen) == whole[end:]
        assert service.record.total == 1


async def test_each_event_is_a_frame_of_three_lines() -> None:
    """The order of the lines is pinned here and nowhere else."""
    async with running() as service:
        result = (await service.http.post("/search", json=ASKED)).json()
        frames = (await replay(service, result["id"])).decode().removesuffix("\n\n").split("\n\n")
        for number, frame in enumerate(frames, start=1):
            lines = [line.partition(": ") for line in frame.split("\n")]
            assert [name for name, _, _ in lines] == ["event", "data", "id"]
            assert ("id", ": ", f"{result['id']}:{number}") in lines


@pytest.mark.parametrize("way", WAYS)
async def test_a_running_search_goes_on_behind_the_event_that_was_seen(way: Way) -> None:
    body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=live]"}
    async with running() as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=body))
            head = await wire.head()
            seen = await wire.events(3)
        async with dial(service.url) as wire:
            wire.send(way(body, last_id(seen)))
            again = await wire.head()
            assert again.status == 200
            assert again.headers["x-search-id"] == head.headers["x-search-id"]
            await service.open_gate("live")
            seen += whole_frames(await wire.rest())
        assert seen == await replay(service, head.headers["x-search-id"])
        assert service.record.total == 1


async def test_a_number_that_was_never_given_out_waits_for_what_comes_next() -> None:
    body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=live]"}
    async with running() as service:
        async with dial(service.url) as wire, dial(service.url) as ahead:
            wire.send(request("POST", "/search/stream", body=body))
            search_id = (await wire.head()).headers["x-search-id"]
            ahead.send(by_number(body, f"{search_id}:9999"))
            assert (await ahead.head()).status == 200
            await service.open_gate("live")
            whole = whole_frames(await wire.rest())
            assert events_of(whole_frames(await ahead.rest()))[-1] == events_of(whole)[-1]
        assert await statuses(service, WAYS, body, f"{search_id}:9999") == {204}


async def test_what_is_unknown_is_never_begun_anew() -> None:
    async with running(search_retention_s=600) as service:
        search_id = (await service.http.post("/search", json=ASKED)).headers["x-search-id"]
        assert await statuses(service, WAYS, ASKED, f"{NEVER}:1") == {404}
        for malformed in ("1", search_id, f"{search_id}:", f"{search_id}:-1", f"{search_id}:01"):
            assert await statuses(service, WAYS[:3], ASKED, malformed) == {404}
        path = f"/search/{search_id}/stream"
        foreign = await service.http.get(path, headers={"Last-Event-ID": f"{NEVER}:1"})
        assert (foreign.status_code, foreign.json()["code"]) == (404, "search_not_found")
        for number in ("x", "-1", "1.5", "9" * 10):
            refused = await service.http.get(path, params={"after": number})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert await statuses(service, WAYS, ASKED, f"{search_id}:0") == {200}
        skip(600)
        await settle()
        assert await statuses(service, WAYS, ASKED, f"{search_id}:1") == {404}
        for method in ("GET", "DELETE"):
            gone = await service.http.request(method, f"/search/{search_id}")
            assert (gone.status_code, gone.json()["code"]) == (404, "search_not_found")
        assert service.record.total == 1
