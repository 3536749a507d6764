"""A real browser's `EventSource` on a bad network."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlencode

from simulator.pictures import PICTURES
from tests.clients.chromium import needed, showing
from tests.clients.cutting_proxy import cutting
from tests.clients.page import Page
from tests.service import GALLERY_URL, running, served

URL = GALLERY_URL + PICTURES[7].name
CUTS = (1_900, 7_000)
"""Bytes of answer, headers included: both fall inside an event, the first before the gate."""

PAGE = """<!doctype html><title>An EventSource</title><script>
const got = [];
const source = new EventSource(%(stream)s);
for (const name of %(names)s)
  source.addEventListener(name, (event) => got.push([event.lastEventId, name, event.data]));
source.onerror = () => {
  if (source.readyState === EventSource.CLOSED)
    fetch("/told", {method: "POST", body: JSON.stringify(got)});
};
</script>"""


async def test_an_event_source_that_is_cut_twice_ends_complete_and_does_not_come_back(
    tmp_path: Path,
) -> None:
    needed()
    page = Page()
    asked = {"image_url": URL, "prompt": "[sim gated tag=browser]"}
    async with (
        asyncio.timeout(100),
        served(page.app) as origin,
        running(cors_origins=origin) as service,
        cutting(service.url, *CUTS) as proxy,
    ):
        assert service.simulator is not None
        _, rehearsal = await service.stream(json={"image_url": URL})
        names = {"search.progress", *(event.event for event in rehearsal)}
        page.html = PAGE % {
            "stream": json.dumps(f"{proxy.url}/search/stream?{urlencode(asked)}"),
            "names": json.dumps(sorted(names)),
        }
        async with showing(origin, tmp_path):
            await proxy.connections(2)
            await service.simulator.state.gate.open("browser")
            got = await page.told
        statuses = sorted(exchange.status for exchange in proxy.exchanges)
        assert statuses == [200, 200, 200, 204]
        assert not any(cut.endswith(b"\n\n\r\n") for cut in proxy.answers[:2])
        search_id = got[0][0].partition(":")[0]
        _, whole = await service.stream("GET", f"/search/{search_id}/stream")
        assert got == [[event.id, event.event, event.data] for event in whole]
        assert got[-1][1] == "search.completed"
        assert service.record.total == 2


AGAIN = """<!doctype html><title>A page that is reloaded</title><script>
const open = (left) => {
  const source = new EventSource(%(stream)s);
  source.addEventListener("search.completed", () => {
    source.close();
    left ? open(left - 1) : fetch("/told", {method: "POST", body: "true"});
  });
};
open(2);
</script>"""


async def test_an_event_source_that_asks_again_is_answered_with_what_was_found(
    tmp_path: Path,
) -> None:
    needed()
    page = Page()
    async with (
        asyncio.timeout(100),
        served(page.app) as origin,
        running(cors_origins=origin) as service,
    ):
        stream = f"{service.url}/search/stream?{urlencode({'image_url': URL})}"
        page.html = AGAIN % {"stream": json.dumps(stream)}
        async with showing(origin, tmp_path):
            assert await page.told
        assert service.record.total == 1
