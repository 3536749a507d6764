"""The browser client on a network that cuts its connections at random bytes."""

from collections import Counter

import pytest

from simulator.pictures import PICTURES
from tests.clients.chromium import needed
from tests.service import GALLERY_URL, running
from tests.web.node_programs import run_node

RUNS, BROWSER_RUNS = 500, 50
URL = GALLERY_URL + PICTURES[7].name

pytestmark = pytest.mark.timeout(300)


async def test_whatever_byte_it_is_cut_at_a_search_comes_whole_and_is_paid_once() -> None:
    async with running(capacity=RUNS) as service:
        length = len((await service.http.post("/search/stream", json={"image_url": URL})).content)
        service.record.reset()
        found = await run_node(
            "cuts", service=service.url, image=URL, runs=RUNS, at_once=250, bytes=length
        )
        calls = Counter(call.prompt for call in service.record.calls)
    assert found["wrong"] == []
    assert found["cuts"] > RUNS
    assert calls == Counter(f"run {seed}" for seed in range(RUNS))


async def test_the_same_holds_in_a_browser_on_a_page_of_another_origin() -> None:
    async with running(cors_origins="*") as service:
        length = len((await service.http.post("/search/stream", json={"image_url": URL})).content)
        service.record.reset()
        found = await run_node(
            "browser_cuts",
            chromium=needed(),
            service=service.url,
            image=URL,
            runs=BROWSER_RUNS,
            at_once=25,
            bytes=length,
        )
        calls = Counter(call.prompt for call in service.record.calls)
    assert found == {"runs": BROWSER_RUNS, "wrong": []}
    assert calls == Counter(f"run {seed}" for seed in range(BROWSER_RUNS))
