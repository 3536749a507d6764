"""Mischief that meets the process: its memory, its log, its signals."""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import ASKED, BLOG, BLOG_KEY, SHOP, SHOP_KEY
from tests.e2e.images import workers
from tests.e2e.shipped import shipped
from tests.processes import LISTENS, ROOT, in_front_of, service, simulator
from tests.wire import dial, events_of, request

GUARD_S = 120
LINE_MAX_BYTES = 8_192
LINES_MAX = 2_048
"""Most lines that wait for a reader of the log."""
BOTH_KEYS = f"blog:{BLOG_KEY},shop:{SHOP_KEY}"
ANONYMOUS = {"ALLOW_ANONYMOUS": "true"}


TEXTS = ["a" * 60_000, "%0Aforged" * 7_000, "%F0%9F%98%80" * 3_000, "%22" * 20_000]
TEXTS += ["b" * n for n in range(LINE_MAX_BYTES - 300, LINE_MAX_BYTES, 25)]


@pytest.mark.parametrize("form", ["json", "text"])
async def test_no_log_line_is_longer_than_eight_kibibytes(form: str) -> None:
    async with shipped(**ANONYMOUS, LOG_FORMAT=form) as (process, http):
        for text in TEXTS:
            async with dial(str(http.base_url)) as wire:
                wire.send(request("GET", f"/{text}", headers={"X-Request-ID": "long"}))
                assert (await wire.head()).status == 404
    long = [line for line in process.lines if "long" in line]
    assert len(long) == len(TEXTS)
    assert not [line for line in process.lines if line.startswith("forged")]
    for line in long:
        assert len(line.encode()) <= LINE_MAX_BYTES
        assert '"status": 404' in line
        assert form == "text" or json.loads(line)


@asynccontextmanager
async def unread(**settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process, whose log nobody reads any more once it has said where it listens."""
    reading, writing = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app"),
        cwd="/",
        env={"PYTHONPATH": str(ROOT)} | settings,
        stdout=writing,
    )
    os.close(writing)
    try:
        said = ""
        while not (found := LISTENS.search(said)):
            said += (await asyncio.to_thread(os.read, reading, 65_536)).decode()
        yield child, found[1]
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        os.close(reading)


async def test_a_log_that_nobody_reads_stops_nobody_and_what_is_dropped_is_counted() -> None:
    async with asyncio.timeout(GUARD_S), simulator() as upstream:
        settings = ANONYMOUS | in_front_of(upstream.url) | {"TRUSTED_PROXIES": "127.0.0.1"}
        async with (
            unread(**settings) as (child, url),
            httpx.AsyncClient(base_url=url, timeout=GUARD_S) as http,
        ):
            async with dial(url) as wire:
                # Each is answered, and logged in 200 bytes or more.
                wire.send(request("GET", "/search/srch_x") * 3_000)
                wire.send(request("GET", "/healthz", headers={"Connection": "close"}))
                assert (await wire.all()).count(b"HTTP/1.1 404 ") == 3_000
            lines = (await http.get("/metrics")).text.splitlines()
            [dropped] = [one for one in lines if one.startswith("imagesearch_log_dropped_total ")]
            assert float(dropped.split()[1]) > 3_000 - LINES_MAX - 65_536 / 200
            assert (await http.post("/search", json=ASKED)).json()["status"] == "completed"
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 0


async def test_sighup_reads_the_client_keys_again_and_ends_no_stream(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"shop:{SHOP_KEY}")
    settings = {"CLIENT_KEYS_FILE": str(file), "ALLOW_ANONYMOUS": "false"}

    async def statuses(http: httpx.AsyncClient, *wanted: int) -> None:
        while True:
            answers = [await http.get("/usage", headers=client) for client in (SHOP, BLOG)]
            if tuple(answer.status_code for answer in answers) == wanted:
                return

    async with (
        asyncio.timeout(GUARD_S),
        simulator() as upstream,
        service(upstream, **settings, RATE_LIMIT="3/day") as process,
        httpx.AsyncClient(base_url=process.url) as http,
        dial(process.url) as wire,
    ):
        body = {"image_url": IMAGE_URL, "prompt": "[sim gated tag=hup]"}
        wire.send(request("POST", "/search/stream", headers=SHOP, body=body))
        assert (await wire.head()).status == 200
        await statuses(http, 200, 401)
        for keys, shop in ((f"blog:{BLOG_KEY}", 401), ("nonsense", 401), (BOTH_KEYS, 200)):
            file.write_text(keys)
            process.signal(signal.SIGHUP)
            await statuses(http, shop, 200)
            while keys == "nonsense" and "client keys are kept" not in process.said:
                await statuses(http, shop, 200)
        # Rates and searches go on as they were.
        again = await http.post("/search", json=ASKED, headers=SHOP)
        assert "r=1" in again.headers["ratelimit"]
        await http.post(f"{upstream.url}/gate/hup")
        assert events_of(await wire.rest())[-1] == b"search.completed"
    assert SHOP_KEY not in process.said


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process' memory")
async def test_who_exhausts_the_memory_is_not_told_to_try_again() -> None:
    body = b'{"image_url": "data:image/png;base64,' + b"x" * 27_000_000 + b'"}'
    async with shipped(**ANONYMOUS) as (process, http):
        assert (await http.post("/search", json=ASKED)).status_code == 200
        # Enough for the body as it comes, and too little for what is made of it: so one large
        # allocation fails, and not any small one, that of the response among them.
        pages = int(workers.read(process.pid, "statm").split()[0])
        most = pages * resource.getpagesize() + 43_000_000
        before = resource.prlimit(process.pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        kind = {"Content-Type": "application/json"}
        failed = await http.post("/search", content=body, headers=kind)
        assert (failed.status_code, failed.json()["code"]) == (500, "internal")
        assert (failed.json()["retryable"], failed.json()["billed"]) == (False, "no")
        resource.prlimit(process.pid, resource.RLIMIT_AS, before)
        assert (await http.post("/search", json=ASKED | {"prompt": "?"})).status_code == 200
