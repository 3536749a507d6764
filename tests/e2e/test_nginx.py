"""The configuration of nginx, read by nginx itself and run in front of a scripted upstream."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.settings import Settings
from tests.peer import Handler, Peer, says_then, serving
from tests.wire import Wire, dial, request

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POLL_S = 0.05
HEAD_MAX_BYTES = 65_536
"""What the service takes of address and headers."""
KEEP_ALIVE_S = 75
"""How long the service keeps an idle connection; nginx has to close its own sooner."""
FIRST = b"id: a:1\nevent: search.created\ndata: {}\n\n"
SECOND = b"id: a:2\nevent: search.completed\ndata: {}\n\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
    b"X-Request-ID: req-1\r\nConnection: close\r\n\r\n"
)
STREAM = says_then(HEAD + FIRST, SECOND)

if NGINX is None and os.environ.get("CI") != "true":
    reason = "nginx is not installed (Debian: apt-get install nginx-light)"
    pytest.skip(reason, allow_module_level=True)


@asynccontextmanager
async def nginx(folder: Path, upstream_port: int) -> AsyncIterator[str]:
    """Run it in front of a port; yields its own address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = configured(folder, listen=port, upstream_port=upstream_port)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        while not (folder / "nginx.pid").exists():
            assert process.returncode is None, (folder / "start.log").read_text()
            await asyncio.sleep(POLL_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def proxied(folder: Path, handler: Handler) -> AsyncIterator[tuple[Wire, Peer]]:
    async with (
        asyncio.timeout(60),
        serving(handler) as peer,
        nginx(folder, peer.port) as url,
        dial(url) as wire,
    ):
        yield wire, peer


def configured(folder: Path, *, listen: int, upstream_port: int) -> list[str]:
    assert NGINX, "nginx is needed here"
    text = CONFIGURATION.read_text(encoding="utf-8")
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{listen};"),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream_port};"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    aside = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/start.log;\nevents {{}}\nhttp {{\n{aside}{text}\n}}\n",
        encoding="utf-8",
    )
    return [NGINX, "-e", str(folder / "start.log"), "-c", str(main)]


def logged(folder: Path) -> str:
    return "".join(log.read_text() for log in folder.glob("*.log"))


async def test_an_event_passes_before_the_next_one_is_made_and_no_query_is_logged(
    tmp_path: Path,
) -> None:
    async with proxied(tmp_path, STREAM) as (wire, peer):
        wire.send(request("GET", "/search/stream", query={"access_token": "not-for-logs"}))
        assert (await wire.head()).headers["x-accel-buffering"] == "no"
        assert await wire.piece() == FIRST
        peer.go_on.set()
        assert await wire.rest() == SECOND
        wire.send(request("GET", "/metrics", query={"access_token": "not-for-logs"}))
        assert (await wire.head()).status == 404
        [asked] = peer.requests
        assert asked.startswith(b"GET /search/stream?access_token=not-for-logs HTTP/1.1\r\n")
        assert b"\r\nHost: service\r\n" in asked
        assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in asked
    written = logged(tmp_path)
    assert '"GET /search/stream" 200' in written
    assert "not-for-logs" not in written


def test_times_and_sizes_fit_those_of_the_service_and_nothing_is_asked_for_twice() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    seconds = {
        name: int(value) for name, value in re.findall(r"^ +(\w+) (\d+)s;$", text, re.MULTILINE)
    }
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    longest_s = defaults["upstream_total_timeout_s"] + defaults["upstream_retry_total_s"]
    assert seconds["proxy_read_timeout"] > longest_s
    assert seconds["keepalive_timeout"] < KEEP_ALIVE_S
    # What is too large is refused by the service, in words that a page may read.
    sizes = {
        name: int(s) for name, s in re.findall(r"^ +(\w+) (?:4 )?(\d+)[mk];$", text, re.MULTILINE)
    }
    assert sizes["client_max_body_size"] * 2**20 > defaults["body_max_bytes"]
    assert sizes["large_client_header_buffers"] * 1_024 >= HEAD_MAX_BYTES
    # Of a request that was sent once, a second server would bill the tokens again.
    assert " proxy_next_upstream off;\n" in text
