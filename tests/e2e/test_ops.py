"""What operators, and machines that read contracts, get."""

import re
from typing import Any

import pytest

from simulator.pictures import PICTURES
from tests.service import GALLERY_URL, running

PICTURE = PICTURES[7]


async def test_the_service_says_how_it_is() -> None:
    async with running() as service:
        await service.http.post("/search", json={"image_url": GALLERY_URL + PICTURE.name})
        assert (await service.http.get("/healthz")).json() == {"status": "ok"}
        assert (await service.http.get("/readyz")).json() == {"status": "ready"}
        metrics = (await service.http.get("/metrics")).text
        for line in (
            'imagesearch_searches_total{outcome="matched",status="completed"} 1.0',
            'imagesearch_upstream_calls_total{result="ok"} 1.0',
            "imagesearch_first_event_seconds_count 1.0",
            "imagesearch_search_seconds_count 1.0",
            "imagesearch_tool_calls_total 1.0",
            "imagesearch_streams_open 0.0",
            "imagesearch_runs_active 0.0",
            'imagesearch_cache_total{result="miss"} 1.0',
        ):
            assert line in metrics, line
        assert "imagesearch_store_bytes 0.0" not in metrics


async def test_balancers_may_ask_for_no_more_than_the_head() -> None:
    async with running() as service:
        for path in ("/healthz", "/readyz"):
            head = await service.http.head(path)
            whole = await service.http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))
        assert "head" not in service.app.openapi()["paths"]["/healthz"]
        await service.service.runs.drain(0)
        assert (await service.http.head("/readyz")).status_code == 503


async def test_requests_are_logged_with_their_ids(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "app.access")
    async with running() as service:
        response = await service.http.post(
            "/search?secret=1",
            json={"image_url": GALLERY_URL + PICTURE.name},
            headers={"X-Request-ID": "abc-123"},
        )
        assert response.headers["x-request-id"] == "abc-123"
        made = await service.http.get("/healthz", headers={"X-Request-ID": "bad id, with spaces"})
        assert made.headers["x-request-id"].startswith("req_")
    lines = [record for record in caplog.records if record.name == "app.access"]
    fields: dict[str, Any] = lines[0].__dict__["fields"]
    assert fields["path"] == "/search"
    assert fields["status"] == 200
    assert fields["search_id"] == response.headers["x-search-id"]
    assert "secret" not in caplog.text


async def test_requests_refused_are_counted_and_searches_that_failed_are_not() -> None:
    asked = {"image_url": GALLERY_URL + PICTURE.name}
    async with running(capacity=1, capacity_wait_s=0) as service:

        async def code(**request: Any) -> str:
            told: str = (await service.http.post("/search", **request)).json()["code"]
            return told

        async with service.http.stream(
            "POST", "/search/stream", json=asked | {"prompt": "[sim stall]"}
        ) as response:
            codes = [await code(json=asked), await code(json={})]
            await service.http.delete(f"/search/{response.headers['x-search-id']}")
        codes.append(await code(json=asked | {"prompt": "[sim http_401]"}))
        await service.http.post("/v1/responses", json={"model": "none"})
        service.service.runs.draining = True
        codes.append(await code(json=asked))
        assert codes == ["overloaded", "image_missing", "upstream_auth_failed", "draining"]
        metrics = (await service.http.get("/metrics")).text
    counted = re.findall(r'^imagesearch_rejected_total{code="(\w+)"} 1\.0$', metrics, re.MULTILINE)
    assert sorted(counted) == ["draining", "image_missing", "model_not_allowed", "overloaded"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_search_that_was_refused_has_no_id_to_come_back_to(method: str) -> None:
    asked = {"image_url": GALLERY_URL + PICTURE.name}
    held = asked | {"prompt": "[sim stall]"}
    sent: dict[str, Any] = {"params": asked} if method == "GET" else {"json": asked}
    async with (
        running(capacity=1, capacity_wait_s=0) as service,
        service.http.stream("POST", "/search/stream", json=held) as running_one,
    ):
        assert running_one.headers["x-search-id"]
        refused, _ = await service.stream(method, **sent)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert "x-search-id" not in refused.headers
        assert "search_id" not in refused.json()
        await service.http.delete(f"/search/{running_one.headers['x-search-id']}")


async def test_a_search_that_failed_keeps_the_id_under_which_it_is_found() -> None:
    asked = {"image_url": GALLERY_URL + PICTURE.name, "prompt": "[sim http_401]"}
    async with running() as service:
        failed = await service.http.post("/search", json=asked)
        found = await service.http.get(f"/search/{failed.headers['x-search-id']}")
        assert found.json()["status"] == "failed"
        assert failed.json()["search_id"] == found.json()["id"]


async def test_nothing_else_is_served() -> None:
    async with running(web_page=False) as service:
        for path in ("/", "/docs", "/search/x/y", "/healthz/", "/search/stream/?access_token=x"):
            for method in ("GET", "POST"):
                response = await service.http.request(method, path)
                assert response.status_code == 404
                assert response.json()["code"] == "not_found"
                assert "location" not in response.headers
        for path, allowed in (
            ("/search", "POST"),
            ("/search/stream", "GET, POST"),
            ("/search/srch_x", "DELETE, GET"),
            ("/metrics", "GET"),
            ("/healthz", "GET, HEAD"),
            ("/openapi.json", "GET, HEAD"),
        ):
            response = await service.http.put(path)
            assert response.status_code == 405
            assert response.headers["allow"] == allowed
            assert response.json()["code"] == "method_not_allowed"


async def test_the_documentation_is_served_where_it_is_asked_for() -> None:
    async with running(docs=True) as service:
        assert (await service.http.get("/docs")).status_code == 200
