"""What is kept of searches is bounded: one search, all together, and in time."""

import gc
from collections import Counter
from typing import Any

from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.service import GALLERY_URL, Running, running
from tests.wire import dial, events_of, request

URL = GALLERY_URL + PICTURES[7].name
LEAST_EVENT_BYTES = 65_536
LEAST_SEARCH_BYTES = 4 * LEAST_EVENT_BYTES + 1_048_576
"""The smallest bounds that the settings allow."""
BOUNDS: dict[str, Any] = {
    "upstream_max_event_bytes": LEAST_EVENT_BYTES,
    "search_max_bytes": LEAST_SEARCH_BYTES,
}
ENDLESS = {"image_url": URL, "prompt": "[sim endless bytes=20000]"}


def asked(number: int, scenario: str = "normal") -> dict[str, Any]:
    return {"image_url": URL, "prompt": f"[sim {scenario}] {number}"}


async def test_a_search_that_grows_too_large_ends_with_a_clear_failure() -> None:
    async with running(**BOUNDS) as service:
        response, events = await service.stream(json=ENDLESS)
        failed = events[-1].json()
        assert (response.status_code, events[-1].event) == (200, "search.failed")
        assert failed["error"]["code"] == "upstream_protocol"
        assert "larger than this service keeps" in failed["error"]["detail"]
        assert failed["result"]["results"]
        kept = service.service.runs._runs[response.headers["x-search-id"]].log.size_bytes
        # The last words sum up what was kept, and are kept beside it.
        assert kept < 2 * LEAST_SEARCH_BYTES
        plain = await service.http.post("/search", json=ENDLESS)
        assert (plain.status_code, plain.json()["code"]) == (502, "upstream_protocol")
        assert plain.json()["result"]["results"]
        await service.record.idle()


async def test_finished_searches_make_room_the_oldest_first() -> None:
    async with running(search_store_max_bytes=100_000) as service:
        ids = []
        for number in range(10):
            response = await service.http.post("/search", json=asked(number))
            assert response.status_code == 200
            ids.append(response.headers["x-search-id"])
        statuses = [(await service.http.get(f"/search/{each}")).status_code for each in ids]
        assert statuses == sorted(statuses, reverse=True)
        assert set(statuses) == {404, 200}
        assert service.service.runs.size_bytes < 100_000


async def test_running_searches_that_fill_the_store_are_not_dropped_for_new_ones() -> None:
    async with running(search_store_max_bytes=70_000) as service:
        done = (await service.http.post("/search", json=asked(0))).headers["x-search-id"]
        async with dial(service.url) as first, dial(service.url) as second:
            running_ids = []
            for number, wire in enumerate((first, second)):
                large = asked(number, "stall after=30 big_event bytes=15000")
                wire.send(request("POST", "/search/stream", body=large))
                running_ids.append((await wire.head()).headers["x-search-id"])
            await until(lambda: service.service.runs.size_bytes > 2 * 25_000)
            gone = await service.http.get(f"/search/{done}")
            assert gone.status_code == 404
            refused = await service.http.post("/search", json=asked(9))
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
            for each in running_ids:
                state = (await service.http.get(f"/search/{each}")).json()
                assert state["status"] == "in_progress"
                await service.http.delete(f"/search/{each}")
            await service.record.idle()


async def test_ended_searches_are_forgotten_in_time() -> None:
    async with running(search_retention_s=600) as service:
        ids = [
            (await service.http.post("/search", json=asked(number))).headers["x-search-id"]
            for number in range(3)
        ]
        await service.http.post("/search", json=asked(3, "no_terminal"))
        assert service.service.runs.size_bytes > 0
        skip(599)
        await settle()
        assert (await service.http.get(f"/search/{ids[0]}")).status_code == 200
        skip(1)
        await settle()
        for each in ids:
            assert (await service.http.get(f"/search/{each}")).status_code == 404
        assert service.service.runs.size_bytes == 0
        assert (await service.http.post("/search", json=asked(0))).headers["x-cache"] == "miss"


async def search_and_leave(service: Running, number: int) -> None:
    """One search on a connection of its own, to its end."""
    async with dial(service.url) as wire:
        wire.send(request("POST", "/search/stream", body=asked(number)))
        await wire.head()
        assert events_of(await wire.rest())[-1] == b"search.completed"


async def test_a_search_leaves_no_cycles_for_the_collector() -> None:
    """What it finds of ours by the thousand, it takes ten milliseconds to drop, all at once."""
    async with running(search_retention_s=10) as service:
        await search_and_leave(service, -1)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for number in range(3):
                await search_and_leave(service, number)
            skip(100)
            await settle(100)
            gc.collect()
            ours = [one for one in gc.garbage if type(one).__module__.split(".")[0] == "app"]
            assert Counter(type(one).__qualname__ for one in ours) == {}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
