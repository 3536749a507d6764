"""Searches that go on without a reader: `background`, and `Prefer: respond-async`."""

import pytest

from tests.clock import quiet, skip
from tests.e2e.asking import IMAGE_URL
from tests.service import running
from tests.wire import dial, request

GATED = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=go]"}
IN_BACKGROUND = GATED | {"background": True}


@pytest.mark.parametrize(
    ("body", "headers"), [(IN_BACKGROUND, {}), (GATED, {"Prefer": "wait=0, respond-async"})]
)
async def test_a_search_in_the_background_is_answered_at_once_and_found_finished(
    body: dict[str, object], headers: dict[str, str]
) -> None:
    async with running() as service:
        accepted = await service.http.post("/search", json=body, headers=headers)
        assert (accepted.status_code, accepted.json()["status"]) == (202, "in_progress")
        assert ("preference-applied" in accepted.headers) is bool(headers)
        place = accepted.headers["location"]
        assert place == f"/search/{accepted.json()['id']}"
        skip(40)
        await quiet()
        await service.open_gate("go")
        await service.record.idle()
        assert (await service.http.get(place)).json()["status"] == "completed"
        assert [call.finished for call in service.record.calls] == ["completed"]


async def test_who_prefers_to_wait_gets_the_result_if_it_comes_in_time() -> None:
    async with running() as service:
        prefers = {"Prefer": "respond-async, wait=30"}
        ended = await service.http.post("/search", json={"image_url": IMAGE_URL}, headers=prefers)
        assert (ended.status_code, ended.json()["status"]) == (200, "completed")
        assert ended.headers["preference-applied"] == "respond-async, wait=30"


async def test_a_background_stream_goes_on_when_its_reader_leaves_and_can_be_stopped() -> None:
    async with running(stream_linger_s=5) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/search/stream", body=IN_BACKGROUND))
            search_id = (await wire.head()).headers["x-search-id"]
            wire.reset()
        skip(6)
        await quiet()
        assert service.record.open == 1
        stopped = await service.http.delete(f"/search/{search_id}")
        assert stopped.json()["status"] == "cancelled"
        await service.record.idle()


async def test_one_that_was_left_to_itself_is_not_stopped_under_who_reads_it() -> None:
    async with running() as service:
        search_id = (await service.http.post("/search", json=IN_BACKGROUND)).json()["id"]
        async with service.http.stream("POST", "/search/stream", json=GATED) as stream:
            assert stream.headers["x-cache"] == "coalesced"
            left = await service.http.delete(f"/search/{search_id}")
            assert left.json()["status"] == "in_progress"
            await service.open_gate("go")
            text = (await stream.aread()).decode()
        assert text.count("event: search.completed\n") == 1
