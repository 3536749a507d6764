"""What is kept of searches is bounded: one search, all together, and in time."""

from typing import Any

from tests.clock import quiet
from tests.e2e.asking import IMAGE_URL
from tests.service import running
from tests.wire import dial, request

STORED = "imagesearch_store_bytes"


def body(number: int, scenario: str = "normal") -> dict[str, Any]:
    return {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}] {number}"}


async def test_finished_searches_make_room_the_oldest_first() -> None:
    async with running(search_store_max_bytes=100_000) as service:
        ids = []
        for number in range(10):
            response = await service.http.post("/search", json=body(number))
            assert response.status_code == 200
            ids.append(response.headers["x-search-id"])
        statuses = [(await service.http.get(f"/search/{each}")).status_code for each in ids]
        assert statuses == sorted(statuses, reverse=True)
        assert set(statuses) == {404, 200}
        assert 0 < await service.metric(STORED) < 100_000


async def test_running_searches_that_fill_the_store_are_not_dropped_for_new_ones() -> None:
    async with running(search_store_max_bytes=70_000) as service:
        done = (await service.http.post("/search", json=body(0))).headers["x-search-id"]
        async with dial(service.url) as first, dial(service.url) as second:
            running_ids = []
            for number, wire in enumerate((first, second)):
                large = body(number, "stall after=30 big_event bytes=15000")
                wire.send(request("POST", "/search/stream", body=large))
                running_ids.append((await wire.head()).headers["x-search-id"])
            await quiet()
            assert await service.metric(STORED) > 2 * 25_000
            assert (await service.http.get(f"/search/{done}")).status_code == 404
            refused = await service.http.post("/search", json=body(9))
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
            for each in running_ids:
                state = (await service.http.get(f"/search/{each}")).json()
                assert state["status"] == "in_progress"
                await service.http.delete(f"/search/{each}")
            await service.record.idle()
