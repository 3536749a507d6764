"""What is kept of searches is bounded: one search, all together, and in time."""

from typing import Any

import pytest

from tests.clock import quiet, settle, skip
from tests.e2e.asking import IMAGE_URL, WAYS, Way, ask
from tests.service import running
from tests.wire import dial, request

MIB = 1_048_576
LIMIT_BYTES = 4 * MIB
"""`UPSTREAM_MAX_EVENT_BYTES` as shipped."""
LEAST_EVENT_BYTES = 65_536
LEAST_SEARCH_BYTES = 4 * LEAST_EVENT_BYTES + MIB
"""The smallest bounds that the settings allow."""
BOUNDS: dict[str, Any] = {
    "upstream_max_event_bytes": LEAST_EVENT_BYTES,
    "search_max_bytes": LEAST_SEARCH_BYTES,
}
STORED = "imagesearch_store_bytes"


def body(number: int, scenario: str = "normal") -> dict[str, Any]:
    return {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}] {number}"}


@pytest.mark.parametrize("way", WAYS)
async def test_a_search_that_grows_too_large_ends_with_a_clear_failure(way: Way) -> None:
    async with running(**BOUNDS) as service:
        answer = await ask(service, way, "[sim endless bytes=20000]")
        assert answer.outcome == ("upstream_protocol", False)
        assert answer.problem["status"] == 502
        assert answer.result["results"]
        assert answer.result["warnings"] == ["partial"]
        # The last event sums up what was kept, and is kept beside it.
        assert await service.metric(STORED) < 2 * LEAST_SEARCH_BYTES
        assert service.record.calls[-1].finished == "client_gone"


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


async def test_ended_searches_are_forgotten_in_time() -> None:
    async with running(search_retention_s=600) as service:
        ids = []
        for number, scenario in enumerate(["normal", "normal", "no_terminal"]):
            response = await service.http.post("/search", json=body(number, scenario))
            ids.append(response.headers.get("x-search-id") or response.json()["search_id"])
        assert await service.metric(STORED) > 0
        skip(595)
        await settle()
        assert (await service.http.get(f"/search/{ids[0]}")).status_code == 200
        skip(5)
        await settle()
        for each in ids:
            assert (await service.http.get(f"/search/{each}")).status_code == 404
        assert await service.metric(STORED) == 0
        assert (await service.http.post("/search", json=body(0))).headers["x-cache"] == "miss"


async def test_an_event_is_relayed_up_to_the_limit_and_ends_the_search_above_it() -> None:
    async with running() as service:
        whole = await ask(service, WAYS[1], f"[sim big_event bytes={LIMIT_BYTES - 1_000} seed=7]")
        assert whole.outcome == ("completed", None)
        assert max(len(data.encode()) for _, data in whole.relayed) >= LIMIT_BYTES - 1_003
        for way in WAYS:
            answer = await ask(service, way, f"[sim big_event bytes={LIMIT_BYTES + 1}]")
            assert answer.outcome == ("upstream_protocol", False)
            assert (answer.problem["status"], answer.calls) == (502, 1)
