"""Behind nginx as people set it up: another Host, the prefix stripped, a password in front."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.callers import ASKED, GUARDED, token
from tests.service import listen, parse_block, running

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
if NGINX is None and os.environ.get("CI") != "true":
    reason = "nginx is not installed (Debian: apt-get install nginx-light)"
    pytest.skip(reason, allow_module_level=True)

CONFIGURATION = """
daemon off; master_process off; pid nginx.pid; error_log error.log; events {{}}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port};
    listen unix:{folder}/http2 http2;
    location /images/ {{ proxy_pass {url}/; }}
    location /kept/ {{ proxy_pass {url}; }}
    location /locked/ {{
      auth_basic "site"; auth_basic_user_file passwords; proxy_pass {url}/;
    }}
  }}
}}
"""


@asynccontextmanager
async def nginx(folder: Path, url: str) -> AsyncIterator[httpx.AsyncClient]:
    assert NGINX, "nginx is needed here"
    with listen() as probe:
        port = probe.getsockname()[1]
    (folder / "nginx.conf").write_text(
        CONFIGURATION.format(port=port, url=url, folder=folder), encoding="utf-8"
    )
    (folder / "passwords").write_text("user:{PLAIN}password\n", encoding="utf-8")
    command = (NGINX, "-p", str(folder), "-e", "error.log", "-c", "nginx.conf")
    process = await asyncio.create_subprocess_exec(*command)
    try:
        patient = httpx.AsyncHTTPTransport(retries=6)  # It listens in a moment.
        base_url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(transport=patient, base_url=base_url, timeout=60) as http:
            yield http
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("prefix", ["/images", "/kept"])
async def test_a_page_of_the_service_searches_though_its_host_is_rewritten(
    prefix: str, tmp_path: Path
) -> None:
    async with running(root_path=prefix) as service, nginx(tmp_path, service.url) as http:
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
    async with running(**GUARDED) as service, nginx(tmp_path, service.url) as http:
        asked = ASKED | {"access_token": token()}
        headers = {"Accept": "text/event-stream"}
        path = "/locked/search/stream"
        assert (await http.get(path, params=asked, headers=headers)).status_code == 401
        login = ("user", "password")
        stream = await http.get(path, params=asked, headers=headers, auth=login)
        assert parse_block(stream.text.split("\n\n")[-2]).event == "search.completed"
