"""The files of the page and the client, as HTTP has them."""

import re

import pytest

from tests.service import running
from tests.web.node_programs import browse

SERVED = {
    "/": "text/html",
    "/web/page.js": "text/javascript",
    "/web/page.css": "text/css",
    "/web/icon.svg": "image/svg+xml",
    "/client.js": "text/javascript",
    "/client.d.ts": "application/typescript",
}


@pytest.mark.parametrize("path", SERVED)
async def test_a_file_is_served_and_asked_for_again_only_when_it_changed(path: str) -> None:
    async with running() as service:
        found = await service.http.get(path)
        again = await service.http.get(path, headers={"If-None-Match": found.headers["ETag"]})
        head = await service.http.head(path)
    assert found.status_code == head.status_code == 200
    assert found.headers["Content-Type"].startswith(SERVED[path])
    assert found.headers["Cache-Control"] == "no-cache"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert again.status_code == 304
    assert again.content == head.content == b""


@pytest.mark.parametrize("path", ["/client.js", "/client.d.ts"])
async def test_any_page_may_import_the_client(path: str) -> None:
    async with running(cors_origins="https://app.example") as service:
        found = await service.http.get(path, headers={"Origin": "https://other.example"})
    assert found.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_page_runs_nothing_but_its_own_scripts_and_styles() -> None:
    async with running() as service:
        found = await service.http.get("/")
        data = await service.http.get("/healthz")
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert data.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src)|\son\w+=", found.text)


@pytest.mark.parametrize(
    "path", ["/web/", "/web/README.md", "/web/package.json", "/web/client.js", "/web/../page.py"]
)
async def test_nothing_else_is_served(path: str) -> None:
    async with running() as service:
        assert (await service.http.get(path)).status_code == 404


async def test_without_the_page_only_the_client_is_there() -> None:
    async with running(web_page=False) as service:
        statuses = {
            path: (await service.http.get(path)).status_code
            for path in ("/", "/web/page.js", "/client.js", "/docs")
        }
    assert statuses == {"/": 404, "/web/page.js": 404, "/client.js": 200, "/docs": 404}


async def test_openapi_does_not_list_the_files() -> None:
    async with running(docs=True) as service:
        paths = (await service.http.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if re.match(r"/$|/web|/client|/docs", path)]


@pytest.mark.parametrize("prefix", ["", "/images"])
async def test_page_and_api_page_work_under_a_prefix_without_another_host(prefix: str) -> None:
    async with running(docs=True, root_path=prefix) as service:
        page, docs = f"{service.url}{prefix}/", f"{service.url}{prefix}/docs"
        pages = [
            {"url": page, "until": "#model option:nth-child(2)"},
            {"url": docs, "until": "#operations-search-createSearch"},
        ]
        found = await browse("quiet", pages=pages)
    assert found[page]["complaints"] == found[docs]["complaints"] == []
    assert "Search by image" in found[page]["text"]
    assert "/search/stream" in found[docs]["text"]
    for shown in found.values():
        assert [url for url in shown["asked"] if not url.startswith((service.url, "data:"))] == []
