"""The OpenAPI document against a few of the requests that schemathesis makes up from it."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.callers import ASKED, GUARDED, SHOP
from tests.e2e.v1 import asked
from tests.processes import ROOT
from tests.service import Running, running

HERE = Path(__file__).parent
GUARD_S = 290
"""Many times what a run takes; how much is asked is bounded by the settings."""
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics"}

pytestmark = pytest.mark.timeout(GUARD_S + 10)


async def known_requests(service: Running) -> dict[str, Any]:
    started = await service.http.post("/search", json=ASKED, headers=SHOP)
    made = [await service.http.post("/v1/responses", json=asked(), headers=SHOP) for _ in range(2)]
    begun = await service.http.post("/v1/responses", json=asked(background=True), headers=SHOP)
    chat = {"id": "chat-0123456789abcdef", "messages": [{"role": "user", "parts": []}]}
    search = {"path_parameters": {"search_id": started.json()["id"]}}
    kept, unwanted = ({"path_parameters": {"response_id": one.json()["id"]}} for one in made)

    def in_json(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"body": body, "media_type": "application/json"} for body in bodies]

    return {
        "POST /search": in_json(ASKED),
        "POST /search/stream": in_json(ASKED),
        "GET /search/stream": [{"query": ASKED}],
        "GET /search/{search_id}": [search],
        "GET /search/{search_id}/stream": [search, search | {"query": {"after": 10_000}}],
        "DELETE /search/{search_id}": [search],
        "POST /v1/responses": in_json(asked(), asked(stream=True)),
        "GET /v1/responses/{response_id}": [kept],
        "GET /v1/responses/{response_id}/input_items": [kept],
        "DELETE /v1/responses/{response_id}": [unwanted],
        "POST /v1/responses/{response_id}/cancel": [
            {"path_parameters": {"response_id": begun.json()["id"]}}
        ],
        "POST /ui/chat": in_json(chat | ASKED),
        "POST /tokens": in_json({}),
    }


async def attack(service: Running, folder: Path, log: Path) -> tuple[int, str]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env |= {"PYTHONPATH": str(ROOT), "HOOKS": str(HERE / "schemathesis_hooks.py")}
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
        *("--config-file", str(HERE / "schemathesis.toml"), "run", f"{service.url}/openapi.json"),
        *("--report-ndjson-path", str(log), "--header", f"Authorization: {SHOP['Authorization']}"),
        *("--phases", "examples,fuzzing"),
    ]
    env |= {"KNOWN_REQUESTS": json.dumps(await known_requests(service))}
    how: dict[str, Any] = {"cwd": folder, "env": env, "text": True, "timeout": GUARD_S}
    asking = partial(subprocess.run, command, check=False, capture_output=True, **how)
    ended = await asyncio.to_thread(asking)
    return ended.returncode, ended.stdout + ended.stderr


def statuses_in(log: Path) -> dict[str, Counter[int]]:
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for line in log.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, interaction in recorded.get("interactions", {}).items():
            case = recorded["cases"][name]["value"]
            status = interaction["response"]["status_code"]
            seen[f"{case['method']} {case['path']}"][status] += 1
    return seen


async def test_no_answer_is_a_server_error_or_undocumented(tmp_path: Path) -> None:
    log = tmp_path / "report.ndjson"
    async with running(**GUARDED) as service:
        ended, said = await attack(service, tmp_path, log)
        document = (await service.http.get("/openapi.json")).json()
    assert ended == 0, said
    seen = statuses_in(log)
    for path, item in document["paths"].items():
        for operation in (f"{method.upper()} {path}" for method in item):
            statuses = seen[operation]
            assert max(statuses) < 500, (operation, statuses)
            assert min(statuses) < 300, (operation, statuses)
            assert (401 in statuses) is (operation not in OPEN), (operation, statuses)
