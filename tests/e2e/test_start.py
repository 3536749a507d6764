"""What an operator reads at start, what several workers break, and servers with ASGI alone."""

import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import sys

import httpx
import pytest
import uvloop

from app.main import create_app
from app.server import listen as listen_as_the_service
from app.server import server_config
from app.settings import load
from tests.e2e.callers import ASKED
from tests.e2e.test_odd_requests import SOCKET
from tests.processes import KEY, ROOT, simulator, started
from tests.service import listen, parse_block
from tests.wire import dial, request

GUARD_S = 60
LEAST = {
    "DASHSCOPE_API_KEY": KEY,
    "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/v1",
    "ALLOW_ANONYMOUS": "true",
    "PORT": "0",
}
DOUBTS: dict[str, tuple[str, str]] = {
    # a variable, its value, and a part of the warning
    "RATE_LIMT": ("5/minute", "RATE_LIMIT meant?"),
    "client_keys_fil": ("/run/keys", "CLIENT_KEYS_FILE meant?"),
    "CLIENT_KEYS": ("shop:canary", "the key of shop has less than 16 characters"),
    "BODY_MAX_BYTES": ("1MB", "less than IMAGE_MAX_BYTES"),
}


async def test_the_start_says_what_runs_and_warns_of_what_is_hardly_meant() -> None:
    given = {name: value for name, (value, _) in DOUBTS.items()}
    given |= {"BUDGET_CLIENT_CNY_PER_DAY": "5", "WEB_CONCURRENCY": "auto"}
    async with (
        asyncio.timeout(GUARD_S),
        started("app", **LEAST | given) as process,
        httpx.AsyncClient() as http,
    ):
        assert (await http.get(f"{process.url}/readyz")).json() == {"status": "ready"}
    lines = [json.loads(line) for line in process.lines]
    [line] = [one["event"] for one in lines if one["event"].startswith("imagesearch-proxy ")]
    for part in ("http://127.0.0.1:9/v1", "(shop), anybody", "5 for a client, none for all"):
        assert part in line
    warned = "\n".join(one["event"] for one in lines if one["level"] == "warning")
    for _, words in DOUBTS.values():
        assert words in warned
    assert "canary" not in process.said


async def test_several_workers_are_warned_of_at_start_and_when_asked() -> None:
    with listen() as probe:  # uvicorn does not say which port it took.
        port = str(probe.getsockname()[1])
    command = ("app.main:app", "--workers", "2", "--port", port)
    async with asyncio.timeout(GUARD_S), started("uvicorn", *command, **LEAST) as process:
        try:
            # Its workers listen a while after it has said so.
            patient = httpx.AsyncHTTPTransport(retries=8)
            async with httpx.AsyncClient(transport=patient, timeout=GUARD_S) as http:
                ready = (await http.get(f"{process.url}/readyz")).json()
        finally:
            process.signal(signal.SIGTERM)  # Killed, it would leave its workers behind.
            await process.ended()
    assert ready["status"] == "ready"
    assert "budgets" in ready["note"]
    assert ready["note"] in process.said


async def run(*arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """The exit status of a process that ends at once, and what it wrote to stdout and stderr."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return child.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("flag", ["--help", "--version"])
async def test_help_needs_no_settings(flag: str) -> None:
    status, out, err = await run(flag)
    assert (status, bool(out), err) == (0, True, "")


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_the_service_says_in_one_line_that_it_cannot_listen(host: str) -> None:
    with listen() as taken:
        port = str(taken.getsockname()[1])
        status, _, err = await run(**LEAST | {"HOST": host, "PORT": port})
    assert (status, err.count("\n")) == (2, 1)
    assert f"HOST={host}" in err
    assert f"PORT={port}" in err


def test_an_idle_connection_outlives_those_that_proxies_keep() -> None:
    """Most of them close theirs after 60 s, and so never send a request into one that closes."""
    settings = load(_env_file=None, dashscope_api_key=KEY, allow_anonymous=True)
    config = server_config(create_app(settings), settings)
    assert config.timeout_keep_alive > 60
    assert (config.server_header, config.access_log) == (False, False)


SERVERS: dict[str, tuple[str, ...]] = {"uvicorn": ("app.main:app", "--port", "0")}
if importlib.util.find_spec("hypercorn"):
    SERVERS["hypercorn"] = ("app.main:app", "--workers", "0", "--bind", "127.0.0.1:0")


@pytest.mark.parametrize("server", SERVERS)
async def test_under_a_servers_own_command_no_query_gets_into_its_log(server: str) -> None:
    secret = {"access_token": "canary-token", "prompt": "canary-prompt"}
    async with asyncio.timeout(GUARD_S), simulator() as upstream:
        settings = LEAST | {"DASHSCOPE_BASE_URL": f"{upstream.url}/compatible-mode/v1"}
        async with (
            started(server, *SERVERS[server], **settings) as process,
            httpx.AsyncClient(base_url=process.url, timeout=GUARD_S) as http,
        ):
            assert (await http.get("/search/stream", params=secret)).status_code == 406
            asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
            await http.options("/search/stream", params=secret, headers=asking)
            async with dial(process.url) as wire:
                upgrade = SOCKET | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
                wire.send(request("GET", "/search/stream", query=secret, headers=upgrade))
                await wire.head()
            stream = await http.post("/search/stream", json=ASKED)
            last = parse_block(stream.text.removesuffix("\n\n").split("\n\n")[-1])
            assert last.event == "search.completed"
    if server == "uvicorn":
        assert re.search(r'- "GET /search/stream HTTP/1\.1" 406', process.said)
    assert "canary" not in process.said


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
INHERITED = ("TCP_USER_TIMEOUT", "TCP_NOTSENT_LOWAT", "TCP_NODELAY")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack the options")
@pytest.mark.parametrize("loop", LOOPS)
def test_accepted_connections_have_the_listeners_options(loop: str) -> None:
    """A reader that stalls is dropped by the kernel; small events are sent at once."""
    settings = load(
        _env_file=None, dashscope_api_key=KEY, allow_anonymous=True, stream_send_timeout_s=7, port=0
    )

    async def options() -> list[int]:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        listener = listen_as_the_service(settings)
        address = listener.getsockname()
        async with await asyncio.start_server(lambda _, one: accepted.put(one), sock=listener):
            _, caller = await asyncio.open_connection(*address)
            writer = await accepted.get()
            sock = writer.get_extra_info("socket")
            options = [getattr(socket, name) for name in INHERITED]
            found = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]
            for one in (caller, writer):
                one.close()
            return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        user_timeout_ms, low_water_bytes, no_delay = runner.run(options())
    assert (user_timeout_ms, bool(no_delay)) == (7_000, True)
    assert 0 < low_water_bytes <= 65_536
