"""What operators, and machines that read contracts, get."""

import asyncio
import re

import httpx
import pytest

from tests.e2e.asking import ASKED
from tests.e2e.callers import bearer
from tests.service import Running, running
from tests.waiting import hurried

EVENTS = {"Accept": "text/event-stream"}
MODEL = "qwen3.7-plus"


async def test_the_service_says_how_it_is() -> None:
    async with running() as service:
        asked = ASKED | {"prompt": "[sim http_429 times=1 tag=m]"}
        made = await hurried(service.http.post("/search", json=asked, timeout=None))
        usage = made.json()["usage"]
        await service.stream("GET", f"/search/{made.headers['x-search-id']}/stream")
        for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
            head, whole = await service.http.head(path), await service.http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert whole.json() == {"status": status}
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


async def test_refused_requests_are_counted_and_have_no_id_and_failed_searches_have_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
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
        await service.http.post("/v1/responses", json={"model": "none", "input": "x"})
        failed = await service.http.post("/search", json=ASKED | {"prompt": "[sim http_401]"})
        found = (await service.http.get(f"/search/{failed.headers['x-search-id']}")).json()
        assert (found["status"], found["id"]) == ("failed", failed.json()["search_id"])
        metrics = (await service.http.get("/metrics")).text
    fields = [one.__dict__["fields"] for one in caplog.records if one.msg == "request"]
    reasons = [one["reason"] for one in fields if "reason" in one]
    assert reasons == ["All places are taken; try again shortly."]
    assert 'searches_total{outcome="upstream_auth_failed",status="failed"} 1.0' in metrics
    counted = re.findall(r'^imagesearch_rejected_total{code="(\w+)"} (\d)', metrics, re.MULTILINE)
    wanted = {"image_missing": "1", "model_not_allowed": "1", "overloaded": "1"}
    assert {code: count for code, count in counted if count != "0"} == wanted


async def test_metrics_are_shown_to_the_holder_of_their_token_only() -> None:
    async with running(metrics_token="a-token-of-metrics") as service:
        shown = [
            (await service.http.get("/metrics", headers=headers)).status_code
            for headers in ({}, bearer("another"), bearer("a-token-of-metrics"))
        ]
    assert shown == [401, 401, 200]


async def test_answers_say_where_their_time_went_as_far_as_it_is_known() -> None:
    page = {"Origin": "https://app.example"}
    async with running(cors_origins=page["Origin"], stream_commit_s=0) as service:
        asked = ASKED | {"prompt": "[sim gated tag=s]"}
        request = service.http.stream("GET", "/search/stream", params=asked, headers=EVENTS | page)
        async with request as response:
            assert phases_of(response) == ["intake", "queue"]
            assert "server-timing" in response.headers["access-control-expose-headers"].lower()
            joining = asyncio.create_task(service.http.post("/search", json=asked))
            await service.until_metric("imagesearch_cache_total", 1, result="coalesced")
            await service.open_gate("s")
        assert phases_of(await joining) == ["intake"]
        whole = await service.http.post("/search", json=ASKED)
        v1 = await service.http.post("/v1/responses", json={"model": MODEL, "input": "x"})
        assert phases_of(whole) == phases_of(v1) == ["intake", "queue", "upstream"]
        assert phases_of(await service.http.get("/healthz")) == []
        assert await service.metric("imagesearch_head_seconds_count") == 1


def phases_of(response: httpx.Response) -> list[str]:
    """The phases of `Server-Timing`, each with a duration that can be."""
    entries = [one.split(";dur=") for one in response.headers.get("server-timing", "").split(", ")]
    assert all(0 <= float(duration) < 60_000 for _, *rest in entries for duration in rest)
    return [name for name, *_ in entries if name]


async def test_streams_are_counted_by_how_they_end() -> None:
    async with running() as service:
        await service.stream(json=ASKED)
        asked = ASKED | {"prompt": "[sim stall]"}
        async with service.http.stream("POST", "/search/stream", json=asked):
            pass
        await service.until_metric("imagesearch_streams_total", 1, end="left")
        assert await service.metric("imagesearch_streams_total", end="ended") == 1


async def test_nothing_else_is_served(service: Running) -> None:
    for path in ("/docs", "/search/x/y", "/healthz/", "/search/stream/?access_token=x"):
        response = await service.http.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert "location" not in response.headers
    for path, methods in (("/search", "POST"), ("/search/srch_x", "DELETE, GET")):
        response = await service.http.put(path)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert response.headers["allow"] == methods


async def test_request_ids_are_kept_where_well_formed_else_made(service: Running) -> None:
    for given, kept in (("abc-123", True), ("bad id, with spaces", False), ("x" * 999, False)):
        refused = await service.http.get("/nowhere", headers={"X-Request-ID": given})
        assert (refused.headers["x-request-id"] == given) is kept
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
