"""Behind nginx: with the configuration that is shipped, and as people set it up themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.callers import ASKED, GUARDED, token
from tests.installed import need
from tests.peer import says, serving
from tests.processes import ROOT
from tests.service import listen, parse_block, running
from tests.wire import EVENT_STREAM, dial, request

NGINX = need("nginx", package="nginx-light")
SHIPPED = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
USUAL = """
access_log off;
server {
    listen 80;
    location /images/ { proxy_pass http://127.0.0.1:8000/; }
    location /kept/ { proxy_pass http://127.0.0.1:8000; }
    location /locked/ {
        auth_basic "site"; auth_basic_user_file passwords; proxy_pass http://127.0.0.1:8000/;
    }
}
"""
"""Another `Host`, the prefix stripped or kept, a password in front."""
POLL_S = 0.05
FIRST = b"id: a:1\nevent: search.created\ndata: {}\n\n"
SECOND = b"id: a:2\nevent: search.completed\ndata: {}\n\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
    b"X-Request-ID: req-1\r\nConnection: close\r\n\r\n"
)


@asynccontextmanager
async def nginx(
    folder: Path, upstream_port: int, configuration: str = SHIPPED
) -> AsyncIterator[str]:
    """Run it in front of a port; yields its own address."""
    with listen() as probe:
        port = probe.getsockname()[1]
    text = configuration.replace("/var/log/nginx/", f"{folder}/")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream_port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    aside = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/start.log;\nevents {{}}\nhttp {{\n{aside}{text}\n}}\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(NGINX, "-e", folder / "start.log", "-c", main)
    try:
        while not (folder / "nginx.pid").exists():
            assert process.returncode is None, (folder / "start.log").read_text()
            await asyncio.sleep(POLL_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def logged(folder: Path) -> str:
    return "".join(log.read_text() for log in folder.glob("*.log"))


async def test_events_pass_one_by_one_and_no_query_is_logged(tmp_path: Path) -> None:
    secret = {"access_token": "not-for-logs"}
    async with (
        asyncio.timeout(60),
        serving(says(HEAD + FIRST, SECOND, waits=True)) as peer,
        nginx(tmp_path, peer.port) as url,
        dial(url) as wire,
    ):
        wire.send(request("GET", "/search/stream", query=secret))
        assert (await wire.head()).headers["x-accel-buffering"] == "no"
        assert await wire.piece() == FIRST
        peer.go_on.set()
        assert await wire.rest() == SECOND
        wire.send(request("GET", "/metrics", query=secret))
        assert (await wire.head()).status == 404
        [asked] = peer.requests
        assert asked.startswith(b"GET /search/stream?access_token=not-for-logs HTTP/1.1\r\n")
        assert b"\r\nHost: service\r\n" in asked
        assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in asked
    # Of a request that was sent once, a second server would bill the tokens again.
    assert " proxy_next_upstream off;\n" in SHIPPED
    written = logged(tmp_path)
    assert '"GET /search/stream" 200' in written
    assert "not-for-logs" not in written


@asynccontextmanager
async def usual(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    (folder / "passwords").write_text("user:{PLAIN}password\n", encoding="utf-8")
    async with (
        running(**settings) as service,
        nginx(folder, int(service.url.rpartition(":")[2]), USUAL) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        yield http


@pytest.mark.parametrize("prefix", ["/images", "/kept"])
async def test_a_page_of_the_service_searches_though_its_host_is_rewritten(
    prefix: str, tmp_path: Path
) -> None:
    async with usual(tmp_path, root_path=prefix) as http:
        page = {"Origin": str(http.base_url), "Sec-Fetch-Site": "same-origin"}
        stream = await http.post(f"{prefix}/search/stream", json=ASKED, headers=page)
        assert parse_block(stream.text.split("\n\n")[-2]).event == "search.completed"
        again = await http.get(stream.headers["location"], params={"after": 1})
        assert again.status_code == 200
        refused = await http.post(f"{prefix}/v1/responses", json={})
        assert refused.headers["x-should-retry"] == "false"
        assert refused.json()["error"]["code"]
        foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await http.post(f"{prefix}/search", json=ASKED, headers=foreign)).status_code == 403
        assert (await http.get(f"{prefix}/client.js")).status_code == 200


async def test_a_token_is_good_behind_a_password_of_the_proxy(tmp_path: Path) -> None:
    async with usual(tmp_path, **GUARDED) as http:
        http.headers.update(EVENT_STREAM)
        path, params = "/locked/search/stream", ASKED | {"access_token": token()}
        assert (await http.get(path, params=params)).status_code == 401
        stream = await http.get(path, params=params, auth=("user", "password"))
        assert parse_block(stream.text.split("\n\n")[-2]).event == "search.completed"
