"""`python -m bench.soak`: does memory stay level over thousands of searches?

Runs the service and the stand-in as processes, as they are shipped, asks for one search after
another, and samples the service's resident memory. Prints a table and keeps it as JSON.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench import machine
from bench.children import OWN, ROOT, free_port, serving
from simulator.pictures import PICTURES

SEARCHES = 20_000
WARM_UP = 5_000
"""Searches before the first sample that counts: pools, caches and the allocator fill first."""
SAMPLE_EVERY = 1_000
AT_ONCE = 20
RETENTION_S = 2
"""Short, for searches and for owners of responses: what is kept on purpose is no leak."""
LEVEL_BYTES = 4 * 2**20
"""Growth over the last half that is still level. CPython takes memory in arenas of 1 MiB, so it
moves in steps of one or two whatever is asked; one event a search left behind would be five."""
RESULT = ROOT / "bench" / "results" / "soak.json"
URL = "https://gallery.example/"
FAST = ("--pace-s", "0", "--silence-s", "0")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """After so many searches: resident memory, the events kept, and the time it took so far."""

    searches: int
    rss_bytes: int
    store_bytes: int
    elapsed_s: float

    def __str__(self) -> str:
        return (
            f"{self.searches:8}   {self.rss_bytes / 2**20:12.1f}"
            f"   {self.store_bytes / 2**20:8.1f}   {self.elapsed_s:7.1f}"
        )


class Resident:
    """Resident memory of a process."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/statm")

    def read(self) -> int:
        """Bytes, now."""
        return int(self._file.read_text().split()[1]) * PAGE_BYTES


def main() -> int:
    """Run it; 1 when memory grew."""
    with (
        tempfile.TemporaryDirectory(prefix="imagesearch-soak-") as folder,
        _simulator(Path(folder)) as upstream,
        _service(Path(folder), upstream) as (pid, port),
    ):
        samples, calls = asyncio.run(_soak(f"http://127.0.0.1:{port}", upstream, Resident(pid)))
    grown, late = (samples[-1].rss_bytes - samples[n].rss_bytes for n in (0, len(samples) // 2))
    level = late <= LEVEL_BYTES
    _say(f"grown by {grown / 2**20:.1f} MiB, in the last half by {late / 2**20:.1f} MiB:")
    _say("level" if level else "NOT LEVEL")
    _keep(samples, upstream_calls=calls, grown_bytes=grown, last_half_grown_bytes=late, level=level)
    return 0 if level else 1


async def _soak(url: str, upstream: str, resident: Resident) -> tuple[list[Sample], int]:
    """Search and sample in turns; also how often the stand-in was called."""
    samples: list[Sample] = []
    _say("searches   resident MiB   kept MiB   seconds")
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as http:
        began = time.monotonic()
        for done in range(SAMPLE_EVERY, WARM_UP + SEARCHES + 1, SAMPLE_EVERY):
            await _search(http, range(done - SAMPLE_EVERY, done))
            # What was kept is forgotten by then.
            await asyncio.sleep(RETENTION_S + 0.5)
            elapsed_s = round(time.monotonic() - began, 1)
            sample = Sample(done - WARM_UP, resident.read(), await _kept(http), elapsed_s)
            if sample.searches >= 0:
                samples.append(sample)
                _say(str(sample))
        calls: int = (await http.get(f"{upstream}/record")).json()["total"]
        return samples, calls


@contextmanager
def _simulator(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--port", str(port), *FAST]
    log = folder / "simulator.log"
    with serving(command, core=_cores()[-1], log=log, url=(port, "/healthz"), env=OWN):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _service(folder: Path, upstream: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    env = OWN | {
        "PORT": str(port),
        "DASHSCOPE_API_KEY": "sk-simulated",
        "DASHSCOPE_BASE_URL": f"{upstream}/v1",
        "ALLOW_ANONYMOUS": "true",
        "RATE_LIMIT": "0",
        "SEARCH_RETENTION_S": str(RETENTION_S),
        "RESPONSE_OWNER_TTL_S": str(RETENTION_S),
        "CACHE_TTL_S": "0",
        "SHUTDOWN_GRACE_S": "1",
    }
    command, log = [sys.executable, "-m", "app"], folder / "service.log"
    with serving(command, core=_cores()[0], log=log, url=(port, "/readyz"), env=env) as pid:
        yield pid, port


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


async def _search(http: httpx.AsyncClient, numbers: range) -> None:
    """Search once for each number: streams, waiting requests, and some that leave half way."""
    waiting = iter(numbers)

    async def caller() -> None:
        for number in waiting:
            picture = PICTURES[number % len(PICTURES)]
            asked = {"image_url": URL + picture.name, "prompt": f"Where is this? {number}"}
            if number % 2:
                response = await http.post("/search", json=asked)
                assert response.json()["status"] == "completed", response.text  # noqa: S101 - a bench
                continue
            async with http.stream("POST", "/search/stream", json=asked) as response:
                async for _ in response.aiter_raw():
                    if number % 10 == 0:
                        break

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(caller())


async def _kept(http: httpx.AsyncClient) -> int:
    """Bytes of events that the service holds."""
    metrics = (await http.get("/metrics")).text
    kept = next(line for line in metrics.splitlines() if line.startswith("imagesearch_store_bytes"))
    return int(float(kept.split()[1]))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _keep(samples: list[Sample], **facts: Any) -> None:
    """Write the result, whole or not at all."""
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine.machine(),
        "versions": machine.versions(litellm=False),
        "searches": SEARCHES,
        "warm_up": WARM_UP,
        "at_once": AT_ONCE,
        "retention_s": RETENTION_S,
        **facts,
        "samples": [asdict(sample) for sample in samples],
    }
    RESULT.parent.mkdir(exist_ok=True)
    written = RESULT.with_suffix(".tmp")
    written.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    written.replace(RESULT)


if __name__ == "__main__":
    sys.exit(main())
