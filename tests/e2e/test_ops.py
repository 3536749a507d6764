"""What operators, and machines that read contracts, get."""

import re

from tests.e2e.asking import ASKED
from tests.service import Running, running
from tests.waiting import hurried


async def test_the_service_says_how_it_is() -> None:
    async with running() as service:
        asked = ASKED | {"prompt": "[sim http_429 times=1 tag=m]"}
        made = await hurried(service.http.post("/search", json=asked, timeout=None))
        usage = made.json()["usage"]
        await service.stream("GET", f"/search/{made.headers['x-search-id']}/stream")
        assert (await service.http.get("/healthz")).json() == {"status": "ok"}
        assert (await service.http.get("/readyz")).json() == {"status": "ready"}
        for path in ("/healthz", "/readyz"):
            head, whole = await service.http.head(path), await service.http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))
        metrics = (await service.http.get("/metrics")).text
    for line in (
        'searches_total{outcome="matched",status="completed"} 1.0',
        "first_event_seconds_count 1.0",
        "search_seconds_count 1.0",
        "streams_open 0.0",
        "runs_active 0.0",
        'cache_total{result="miss"} 1.0',
        'resumes_total{where="memory"} 1.0',
        f'tokens_total{{direction="input"}} {usage["input_tokens"]:.1f}',
        f'tokens_total{{direction="output"}} {usage["output_tokens"]:.1f}',
        f"tool_calls_total {usage['image_search_calls']:.1f}",
        'upstream_retries_total{reason="upstream_rate_limited"} 1.0',
        'upstream_calls_total{result="upstream_rate_limited"} 1.0',
        'upstream_calls_total{result="ok"} 1.0',
    ):
        assert f"imagesearch_{line}\n" in metrics, line
    assert "imagesearch_store_bytes 0.0" not in metrics


async def test_refused_requests_are_counted_and_have_no_id_and_failed_searches_have_one() -> None:
    async with running(capacity=1, capacity_wait_s=0) as service:
        async with service.http.stream(
            "POST", "/search/stream", json=ASKED | {"prompt": "[sim stall]"}
        ) as response:
            refused, _ = await service.stream("GET", params=ASKED)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert "x-search-id" not in refused.headers
            assert "search_id" not in refused.json()
            await service.http.delete(f"/search/{response.headers['x-search-id']}")
        await service.http.post("/search", json={})
        await service.http.post("/v1/responses", json={"model": "none"})
        failed = await service.http.post("/search", json=ASKED | {"prompt": "[sim http_401]"})
        found = (await service.http.get(f"/search/{failed.headers['x-search-id']}")).json()
        assert (found["status"], found["id"]) == ("failed", failed.json()["search_id"])
        metrics = (await service.http.get("/metrics")).text
    counted = re.findall(r'^imagesearch_rejected_total{code="(\w+)"} (\d)', metrics, re.MULTILINE)
    wanted = {"image_missing": "1", "model_not_allowed": "1", "overloaded": "1"}
    assert {code: count for code, count in counted if count != "0"} == wanted


async def test_nothing_else_is_served(service: Running) -> None:
    for path in ("/docs", "/search/x/y", "/healthz/", "/search/stream/?access_token=x"):
        response = await service.http.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert "location" not in response.headers
    for path, methods in (("/search", "POST"), ("/search/srch_x", "DELETE, GET")):
        response = await service.http.put(path)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert response.headers["allow"] == methods


async def test_ids_of_requests_are_kept_where_well_formed_and_made_where_not(
    service: Running,
) -> None:
    for given, kept in (("abc-123", True), ("bad id, with spaces", False), ("x" * 999, False)):
        refused = await service.http.get("/nowhere", headers={"X-Request-ID": given})
        assert (refused.headers["x-request-id"] == given) is kept
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
