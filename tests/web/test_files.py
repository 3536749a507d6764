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


async def test_files_are_served_and_asked_for_again_only_when_they_changed() -> None:
    async with running() as service:
        for path, media_type in SERVED.items():
            found = await service.http.get(path, headers={"Origin": "https://app.example"})
            known = {"If-None-Match": found.headers["ETag"]}
            again = await service.http.get(path, headers=known)
            head = await service.http.head(path)
            assert found.status_code == head.status_code == 200
            assert found.headers["Content-Type"].startswith(media_type)
            assert found.headers["Cache-Control"] == "no-cache"
            assert found.headers["X-Content-Type-Options"] == "nosniff"
            assert again.status_code == 304
            assert again.content == head.content == b""
            if path.startswith("/client"):
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


NO_FILES = ("/web/", "/web/README.md", "/web/package.json", "/web/client.js", "/web/../page.py")


async def test_nothing_else_is_served_and_without_the_page_the_client_alone() -> None:
    async with running() as service:
        statuses = [(await service.http.get(path)).status_code for path in NO_FILES]
    assert statuses == [404] * len(NO_FILES)
    async with running(web_page=False) as service:
        paths = ("/", "/web/page.js", "/docs", "/client.js")
        statuses = [(await service.http.get(path)).status_code for path in paths]
    assert statuses == [404, 404, 404, 200]


@pytest.mark.parametrize("prefix", ["", "/images"])
async def test_page_and_api_page_work_under_a_prefix_without_another_host(prefix: str) -> None:
    async with running(docs=True, root_path=prefix) as service:
        page, docs = f"{service.url}{prefix}/", f"{service.url}{prefix}/docs"
        pages = [
            {"url": page, "until": "#model option:nth-child(2)"},
            {"url": docs, "until": "#operations-search-createSearch"},
        ]
        found = await browse("quiet", pages=pages)
        listed = (await service.http.get("/openapi.json")).json()["paths"]
    assert found[page]["complaints"] == found[docs]["complaints"] == []
    assert "Search by image" in found[page]["text"]
    assert "/search/stream" in found[docs]["text"]
    assert not [path for path in listed if re.match(r"/$|/web|/client|/docs", path)]
    for shown in found.values():
        assert [url for url in shown["asked"] if not url.startswith((service.url, "data:"))] == []
