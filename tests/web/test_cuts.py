"""Searches on a network that cuts connections at random bytes: in Node, and in a browser."""

from collections import Counter

import pytest

from tests.e2e.callers import ASKED
from tests.service import Running, running
from tests.web.node_programs import browse, other_site, run_node
from tests.wire import events_of

RUNS, BROWSER_RUNS = 500, 50
URL = ASKED["image_url"]
OTHERS = (b"search.progress", b"search.failed", b"search.cancelled")
HEAD_BYTES = 1_000
"""More than a head has: of a truncated one without `Content-Type` an `EventSource` ends."""

pytestmark = pytest.mark.timeout(300)


async def rehearsal(service: Running) -> tuple[int, list[str]]:
    """Of a stream that is not cut: its length in bytes and the names of its events."""
    content = (await service.http.post("/search/stream", json=ASKED)).content
    service.record.reset()
    return len(content), [name.decode() for name in {*events_of(content), *OTHERS}]


async def is_paid_once_each(service: Running, runs: int) -> None:
    await service.record.idle()
    calls = Counter(call.prompt for call in service.record.calls)
    assert calls == Counter(f"run {seed}" for seed in range(runs))


async def test_whatever_byte_it_is_cut_at_a_search_comes_whole_and_is_paid_once() -> None:
    async with running(capacity=RUNS, upstream_connect_timeout_s=60) as service:
        length, _ = await rehearsal(service)
        found = await run_node(
            "cuts", service=service.url, image=URL, runs=RUNS, at_once=250, bytes=length
        )
        await is_paid_once_each(service, RUNS)
    assert found["wrong"] == []
    assert found["cuts"] > RUNS


@pytest.mark.parametrize("reader", ["SearchClient", "EventSource"])
async def test_the_same_holds_in_a_browser_on_a_page_of_another_origin(reader: str) -> None:
    async with (
        other_site() as site,
        running(capacity=BROWSER_RUNS, cors_origins=site, upstream_connect_timeout_s=60) as service,
    ):
        length, names = await rehearsal(service)
        found = await browse(
            "browser_cuts",
            reader=reader,
            site=site,
            service=service.url,
            image=URL,
            names=names,
            runs=BROWSER_RUNS,
            at_once=25,
            least=HEAD_BYTES if reader == "EventSource" else 1,
            bytes=length,
        )
        await is_paid_once_each(service, BROWSER_RUNS)
    assert found == {"runs": BROWSER_RUNS, "wrong": []}
