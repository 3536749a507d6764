"""The queries of dashboard and alerts, asked of a Prometheus that scrapes two workers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.gallery import jpeg
from simulator.pictures import PICTURES
from tests.e2e.asking import ASKED
from tests.e2e.test_alerts import ALERTS, DEPLOY, RULES
from tests.e2e.test_workers import two
from tests.installed import need
from tests.service import listen
from tests.waiting import shown

DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
LIMIT = re.compile(r"\s+[<>]\s+[\d.]+(?:\s+and\s+)?")
LOAD_S = 60
PROMETHEUS = need("prometheus")
pytestmark = pytest.mark.timeout(LOAD_S + 60)


def queries() -> dict[str, str]:
    """What the panels show and the alerts compare, by where it stands."""
    panels = (one for one in DASHBOARD["panels"] if one["type"] != "row")
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "30s")
        for panel in panels
        for target in panel["targets"]
    }
    compared = {
        f"{rule['alert']} {number}": part
        for rule in ALERTS
        for number, part in enumerate(LIMIT.split(rule["expr"].strip()))
        if part
    }
    return shown | compared


async def test_every_query_of_dashboard_and_alerts_has_an_answer(tmp_path: Path) -> None:
    wanted = queries()
    assert len(wanted) > len(ALERTS) + 20
    async with two() as (process, http), prometheus(tmp_path, process.url) as api:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOAD_S):
                await load_service(http)
        unanswered = [name for name, query in wanted.items() if not await answers(api, query)]
        rules = (await api.get("/api/v1/rules")).json()["data"]["groups"]
        text = (await http.get("/metrics")).text
    assert unanswered == []
    assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}
    named = set(re.findall(r"imagesearch_\w+", json.dumps(DASHBOARD) + json.dumps(RULES)))
    assert [name for name in named if f"{name} " not in text and f"{name}{{" not in text] == []


async def answers(api: httpx.AsyncClient, query: str) -> bool:
    asked = await api.get("/api/v1/query", params={"query": query})
    assert asked.status_code == 200, (query, asked.text)
    return bool(asked.json()["data"]["result"])


async def load_service(http: httpx.AsyncClient) -> None:
    """Ask again and again in every way that some metric counts."""
    for number in count():
        asked = ASKED | {"prompt": f"[sim http_429 times=1 tag=n{number}]"}
        made = await http.post("/search/stream", json=asked)
        await http.get(f"/search/{made.headers['x-search-id']}/stream")
        await http.post("/search", json=ASKED | {"prompt": "[sim cut_after_results]"})
        await http.post("/search", files={"image": jpeg(PICTURES[7].name)})


@asynccontextmanager
async def prometheus(folder: Path, url: str) -> AsyncIterator[httpx.AsyncClient]:
    with listen() as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    target = url.removeprefix("http://")
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "alerts.yaml")],
        "scrape_configs": [{"job_name": "it", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(configuration), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(PROMETHEUS, f"--config.file={folder}/prometheus.yaml"),
        *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"),
        "--log.level=error",
    )
    patient = httpx.AsyncHTTPTransport(retries=8)  # It listens in a moment.
    try:
        async with httpx.AsyncClient(transport=patient, base_url=f"http://{address}") as api:
            await shown(api, "/-/ready", "Server is Ready")
            yield api
    finally:
        process.terminate()
        await process.wait()
