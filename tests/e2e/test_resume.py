"""A stream that was cut goes on where it was cut, as often as it takes, and is paid for once."""

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any

from tests.clock import settle, skip
from tests.e2e.asking import ASKED, IMAGE_URL
from tests.service import Running, running
from tests.wire import dial, events_of, last_id, replay, request, whole_frames

SEARCHES = 200
AT_ONCE = 20
"""Searches under way at a time; each has two connections at most."""
NEVER = "srch_" + "0" * 32
Way = Callable[[dict[str, Any], str], bytes]


def by_get(body: dict[str, Any], seen: str) -> bytes:
    return request("GET", "/search/stream", query=body, headers={"Last-Event-ID": seen})


def by_post(_: dict[str, Any], seen: str) -> bytes:
    return request("POST", "/search/stream", body={"x": 1}, headers={"Last-Event-ID": seen})


def by_header(_: dict[str, Any], seen: str) -> bytes:
    path = f"/search/{seen.partition(':')[0]}/stream"
    return request("GET", path, headers={"Last-Event-ID": seen})


def by_number(_: dict[str, Any], seen: str) -> bytes:
    search_id, number = seen.split(":")
    return request("GET", f"/search/{search_id}/stream", query={"after": number})


WAYS: list[Way] = [by_get, by_post, by_header, by_number]


class CutCaller:
    """A client whose connection breaks at random bytes, and who comes back in random ways."""

    def __init__(self, service: Running, seed: int) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.tag = f"run-{seed}"
        scenarios = ["normal", "normal pace=0.001", "split_utf8", "multi_data_lines"]
        scenario = self.chance.choice([*scenarios, f"gated tag={self.tag}"])
        self.body = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}] {seed} 你好"}
        self.got = b""
        self.cuts = 0
        self.gate_is_open = "gated" not in scenario

    async def run(self) -> None:
        for left in reversed(range(self.chance.randrange(1, 6))):
            if not left or self.chance.random() < 0.3:
                await self._open_gate()
            most_bytes = self.chance.choice([300, 1_500, 6_000, 20_000])
            if not self.gate_is_open:
                # So much surely comes: two events, for who has none yet.
                most_bytes = 1 if self.got else 600
            await self._read(self.chance.randrange(most_bytes))
            self.cuts += 1
        await self._open_gate()
        await self._read(None)
        search_id, _, count = last_id(self.got).partition(":")
        assert events_of(self.got)[-1] == b"search.completed"
        assert len(events_of(self.got)) == int(count)
        assert await replay(self.service.url, search_id) == self.got
        assert await statuses(self.service, WAYS[:1], self.body, last_id(self.got)) == {204}

    async def _read(self, n_bytes: int | None) -> None:
        if events_of(self.got)[-1:] == [b"search.completed"]:
            return
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


async def statuses(service: Running, ways: list[Way], body: dict[str, Any], seen: str) -> set[int]:
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
        await asyncio.gather(*map(follow, range(SEARCHES)))
        assert service.record.total == service.record.billed == SEARCHES
        assert {call.finished for call in service.record.calls} == {"completed"}
    assert sum(caller.cuts for caller in callers) > SEARCHES


async def test_a_stream_cut_in_any_event_goes_on_after_the_last_whole_one(service: Running) -> None:
    search_id = (await service.http.post("/search", json=ASKED)).json()["id"]
    whole = await replay(service.url, search_id)
    for frame in whole.decode().removesuffix("\n\n").split("\n\n"):
        names = [line.partition(": ")[0] for line in frame.split("\n")]
        assert names == ["event", "data", "id"]
    ends = [0, *(found.end() for found in re.finditer(b"\n\n", whole))]
    for seen, end in enumerate(ends[:-1]):
        cut = whole_frames(whole[: ends[seen + 1] - 1])
        assert cut == whole[:end]
        assert int(last_id(cut).partition(":")[2] or 0) == seen
        assert await replay(service.url, search_id, after=seen) == whole[end:]
    seen_all = f"{search_id}:{len(ends) - 1}"
    assert await statuses(service, WAYS, ASKED, seen_all) == {204}
    assert service.record.total == 1


async def test_a_number_that_was_never_given_out_hides_no_event(service: Running) -> None:
    body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=beyond] x"}
    began = await service.http.post("/search", json=body | {"background": True})
    search_id = began.json()["id"]
    path, beyond = f"/search/{search_id}/stream", {"after": 1_000}
    streaming = asyncio.create_task(service.http.get(path, params=beyond))
    await settle()
    await service.open_gate("beyond")
    events = events_of((await streaming).content)
    assert (events.count(b"search.completed"), len(events) > 10) == (1, True)


async def test_what_is_unknown_is_never_begun_anew() -> None:
    async with running(search_retention_s=600) as service:
        search_id = (await service.http.post("/search", json=ASKED)).headers["x-search-id"]
        assert await statuses(service, WAYS, ASKED, f"{NEVER}:1") == {404}
        for malformed in ("1", search_id, f"{search_id}:", f"{search_id}:-1", f"{search_id}:01"):
            assert await statuses(service, WAYS[:2], ASKED, malformed) == {404}
        path = f"/search/{search_id}/stream"
        other = await service.http.post("/search", json=ASKED | {"prompt": "Another"})
        for another_id in (NEVER, other.headers["x-search-id"]):
            foreign = await service.http.get(path, headers={"Last-Event-ID": f"{another_id}:1"})
            assert (foreign.status_code, foreign.json()["code"]) == (404, "search_not_found")
        for number in ("x", "-1", "1.5", "9" * 10):
            refused = await service.http.get(path, params={"after": number})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert await statuses(service, WAYS, ASKED, f"{search_id}:0") == {200}
        skip(600)
        await settle()
        assert await statuses(service, WAYS, ASKED, f"{search_id}:1") == {404}
        assert await service.metric("imagesearch_store_bytes") == 0
        for method in ("GET", "DELETE"):
            gone = await service.http.request(method, f"/search/{search_id}")
            assert (gone.status_code, gone.json()["code"]) == (404, "search_not_found")
        assert service.record.total == 2
