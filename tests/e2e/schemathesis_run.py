"""Running schemathesis, which makes up requests from the OpenAPI document, against the service.

It runs as whoever holds the document would run it: as a process of its own, over real sockets.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.callers import ASKED, GUARDED, SHOP
from tests.e2e.v1 import asked
from tests.processes import ROOT
from tests.service import Running, running

HERE = Path(__file__).parent
SETTINGS, HOOKS = HERE / "schemathesis.toml", HERE / "schemathesis_hooks.py"
GUARD_S = 290
"""Many times what a run takes; how much is asked is bounded by the settings."""

OPEN = {"GET /healthz", "GET /readyz", "GET /metrics"}
Statuses = dict[str, Counter[int]]


class Report(NamedTuple):
    """How it ended, what it said, and how often each operation answered with each status."""

    ended: int
    said: str
    seen: Statuses


async def known_requests(service: Running, headers: dict[str, str]) -> dict[str, Any]:
    """Requests that succeed, for each operation as schemathesis labels it."""
    started = await service.http.post("/search", json=ASKED, headers=headers)
    made = [
        await service.http.post("/v1/responses", json=asked(), headers=headers) for _ in range(2)
    ]
    search = {"path_parameters": {"search_id": started.json()["id"]}}
    kept, unwanted = ({"path_parameters": {"response_id": one.json()["id"]}} for one in made)
    seen_all = search | {"query": {"after": 10_000}}
    return {
        "POST /search": [in_json(ASKED)],
        "POST /search/stream": [in_json(ASKED)],
        "GET /search/stream": [{"query": ASKED}],
        "GET /search/{search_id}": [search],
        "GET /search/{search_id}/stream": [search, seen_all],
        "DELETE /search/{search_id}": [search],
        "POST /v1/responses": [in_json(asked()), in_json(asked(stream=True))],
        "GET /v1/responses/{response_id}": [kept],
        "GET /v1/responses/{response_id}/input_items": [kept],
        "DELETE /v1/responses/{response_id}": [unwanted],
        "POST /tokens": [in_json({})],
    }


def in_json(body: dict[str, Any]) -> dict[str, Any]:
    return {"body": body, "media_type": "application/json"}


async def attack(
    service: Running,
    folder: Path,
    *options: str,
    headers: dict[str, str],
    known: dict[str, Any] | None = None,
) -> Report:
    """Let schemathesis loose on the service; it leaves its report, and all else, in the folder."""
    log = folder / "report.ndjson"
    sent = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    command = (
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(SETTINGS), "--no-color"),
        *("run", f"{service.url}/openapi.json", "--report-ndjson-path", str(log)),
        *(*sent, *options),
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {"PYTHONPATH": str(ROOT), "HOOKS": str(HOOKS), "KNOWN_REQUESTS": json.dumps(known or {})}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=kept | own,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(GUARD_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    document = (await service.http.get("/openapi.json")).json()
    return Report(process.returncode, said.decode(), read_statuses(log, document))


def read_statuses(log: Path, document: dict[str, Any]) -> Statuses:
    """Count the statuses of every operation that is documented, and of no other method."""
    seen: Statuses = {
        f"{method.upper()} {path}": Counter()
        for path, item in document["paths"].items()
        for method in item
    }
    for line in log.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, interaction in recorded.get("interactions", {}).items():
            case = recorded["cases"][name]["value"]
            operation = f"{case['method']} {case['path']}"
            if operation in seen:
                seen[operation][interaction["response"]["status_code"]] += 1
    return seen


async def hold_every_answer(folder: Path, *options: str, keys: bool) -> None:
    """No answer may be a server error or undocumented, and every operation succeeds once."""
    # Without keys nobody needs one, and there is nothing to buy a token with.
    unfit = () if keys else ("--exclude-checks", "ignored_auth,missing_required_header")
    async with running(**(GUARDED if keys else {})) as service:
        sent = SHOP if keys else {}
        known = await known_requests(service, sent)
        report = await attack(service, folder, *options, *unfit, headers=sent, known=known)
    assert report.ended == 0, report.said
    for operation, statuses in report.seen.items():
        assert max(statuses) < 500, (operation, statuses)
        assert min(statuses) < 300 or (operation == "POST /tokens" and not keys), operation
        assert (401 in statuses) is (keys and operation not in OPEN), (operation, statuses)
