"""Calls through `/v1` are runs as searches are: counted, paid for, stopped, drained."""

import asyncio
import base64
import json

import pytest
from PIL import Image

from tests.clock import quiet
from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import BLOG, GUARDED, SHOP
from tests.e2e.images.files import png
from tests.e2e.money import no_search_runs, price, spent, unknown
from tests.e2e.v1 import asked, create, error_of
from tests.service import KEY, Running, running, shared
from tests.waiting import eventually

KEYED = {"Idempotency-Key": "order-1"}
either = pytest.mark.parametrize("stream", [False, True])
service = shared(running, upstream_retries=0, stream_commit_s=30)


@either
async def test_it_is_charged_and_counted_as_a_search_is(*, stream: bool) -> None:
    async with running() as service:
        await create(service, asked("[sim two_calls]", stream=stream))
        await eventually(lambda: no_search_runs(service))
        assert await spent(service) == price(service.record.calls) > 0
        ended = {"outcome": "matched", "status": "completed"}
        assert await service.metric("imagesearch_searches_total", **ended) == 1
        assert await service.metric("imagesearch_tool_calls_total") == 2
        assert await service.metric("imagesearch_upstream_calls_total", result="ok") == 1


@either
@pytest.mark.parametrize("scenario", ["http_500", "cut_after_results", "usage_missing"])
async def test_what_may_have_been_billed_is_charged(
    scenario: str, service: Running, *, stream: bool
) -> None:
    before = await spent(service)
    await create(service, asked(f"[sim {scenario}]", stream=stream))
    await eventually(lambda: no_search_runs(service))
    assert unknown().holds(await spent(service) - before)


@either
@pytest.mark.parametrize("http", [None, "h11"], ids=["as shipped", "plain uvicorn"])
async def test_leaving_closes_the_upstream_call_at_once(*, http: str | None, stream: bool) -> None:
    async with running(http=http, stream_linger_s=3_600, stream_commit_s=0.01) as service:
        scenario = "stall" if stream else "hang"
        asking = asyncio.create_task(create(service, asked(f"[sim {scenario}]", stream=stream)))
        await service.record.until(lambda record: record.open == 1)
        await quiet()
        asking.cancel()
        assert (await service.last_call()).finished == "client_gone"
        await service.until_metric("imagesearch_runs_active", 0)


async def test_nothing_is_joined_or_reused() -> None:
    async with running() as service:
        for stream in (False, False, True, True):
            answer = await create(service, asked(stream=stream))
            assert answer.headers["x-cache"] == "miss"
        assert service.record.total == 4
        assert await service.metric("imagesearch_store_bytes") == 0


@either
async def test_a_key_repeats_the_answer_instead_of_the_call(*, stream: bool) -> None:
    body = asked(stream=stream, metadata={"a": 1, "b": 2})
    swapped = dict(reversed(body.items())) | {"metadata": {"b": 2, "a": 1}}
    async with running(**GUARDED) as service:
        first = await create(service, body, **KEYED, **SHOP)
        again = await create(service, json.dumps(swapped, indent=1).encode(), **KEYED, **SHOP)
        assert again.headers["x-cache"] == "hit"
        assert again.content == first.content
        assert service.record.total == 1
        for other in (asked("Another?", stream=stream), asked(stream=not stream)):
            refused = await create(service, other, **KEYED, **SHOP)
            assert (refused.status_code, error_of(refused)["code"]) == (422, "idempotency_mismatch")
        search = {"image_url": IMAGE_URL, "prompt": "What is it?"}
        mixed = await service.http.post("/search", json=search, headers=KEYED | SHOP)
        assert mixed.json()["code"] == "idempotency_mismatch"
        another = {"Idempotency-Key": "order-2"}
        for headers in (KEYED | BLOG, another | SHOP):
            assert (await create(service, body, **headers)).headers["x-cache"] == "miss"


async def test_a_key_knows_a_picture_by_its_content_and_a_large_one_is_made_smaller() -> None:
    encoded = base64.b64encode(png(Image.new("RGB", (40, 40), "blue"))).decode()
    async with running(image_max_side=32) as service:
        for head, cache in (("data:image/png;base64,", "miss"), ("DATA:;base64,", "hit")):
            answer = await create(service, asked(image=head + encoded), **KEYED)
            assert answer.headers["x-cache"] == cache
        [sent] = service.record.calls[0].images
        assert (sent.width, sent.height) == (32, 32)


FORMS = ("http", "nested", "sse", "failed")
FAILURES: list[tuple[str, int, str, str]] = [
    # the scenario; status, code, and whether an SDK shall try again
    ("http_400", 422, "invalid_request", "false"),
    ("http_401", 502, "upstream_auth_failed", "false"),
    ("echo_key_error", 502, "upstream_auth_failed", "false"),
    ("http_429", 503, "upstream_rate_limited", "true"),
    ("throttled_200", 503, "upstream_rate_limited", "true"),
    ("http_500", 502, "upstream_unavailable", "false"),
    ("reset_before_headers", 502, "upstream_unavailable", "false"),
    ("html_200", 502, "upstream_protocol", "false"),
    ("error row=download_timeout", 422, "image_unfetchable", "true"),
    # What the upstream finds not valid is the caller's own.
    *((f"error row=web_extractor as={form}", 422, "invalid_request", "false") for form in FORMS),
    *((name, 502, "upstream_rejected", "false") for name in ("http_404", "http_405", "redirect")),
]


@either
@pytest.mark.parametrize(("words", "status", "code", "again"), FAILURES)
async def test_a_failure_has_its_status_and_sdks_learn_whether_to_try_again(
    words: str, status: int, code: str, again: str, service: Running, *, stream: bool
) -> None:
    response = await create(service, asked(f"[sim {words}]", stream=stream))
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert (response.headers["x-should-retry"], KEY in response.text) == (again, False)
    assert ("retry-after" in response.headers) is (response.status_code == 503)
