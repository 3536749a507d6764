"""Calls through `/v1` are runs as searches are: counted, paid for, stopped, drained."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator

import pytest
from PIL import Image

from tests.clock import quiet
from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import BLOG, GUARDED, SHOP
from tests.e2e.v1 import asked, blocks, create, error_of
from tests.service import Running, running

KEYED = {"Idempotency-Key": "order-1"}
FEE, INPUT, OUTPUT = 0.048, 0.000002, 0.000008
"""CNY for a call of the tool, and for a token of qwen3.7-plus."""


@pytest.fixture(scope="module", name="service")
async def open_service() -> AsyncGenerator[Running, None]:
    async with running(upstream_retries=0, stream_commit_s=30) as service:
        yield service


async def spent(service: Running) -> float:
    await service.until_metric("imagesearch_runs_active", 0)
    return await service.metric("imagesearch_spend_cny_total")


@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_charged_and_counted_as_a_search_is(*, stream: bool) -> None:
    async with running() as service:
        await create(service, asked("[sim two_calls]", stream=stream))
        [call] = service.record.calls
        cost = 2 * FEE + call.input_tokens * INPUT + call.output_tokens * OUTPUT
        assert await spent(service) == pytest.approx(cost)
        ended = {"outcome": "matched", "status": "completed"}
        assert await service.metric("imagesearch_searches_total", **ended) == 1
        assert await service.metric("imagesearch_tool_calls_total") == 2
        assert await service.metric("imagesearch_upstream_calls_total", result="ok") == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("scenario", ["http_500", "cut_after_results", "usage_missing"])
async def test_what_may_have_been_billed_is_charged(scenario: str, *, stream: bool) -> None:
    async with running() as service:
        await create(service, asked(f"[sim {scenario}]", stream=stream))
        # The fee, and the estimate for tokens: 10,000 of input, and at least 2,000 of output.
        assert await spent(service) >= FEE + 10_000 * INPUT + 2_000 * OUTPUT


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_closes_the_upstream_call_at_once(*, stream: bool) -> None:
    async with running(stream_linger_s=3_600, stream_commit_s=0.01) as service:
        scenario = "stall" if stream else "hang"
        asking = asyncio.create_task(create(service, asked(f"[sim {scenario}]", stream=stream)))
        await service.record.until(lambda record: record.open == 1)
        await quiet()
        asking.cancel()
        await service.record.idle()
        assert service.record.calls[-1].finished == "client_gone"
        await service.until_metric("imagesearch_runs_active", 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_joined_or_reused(*, stream: bool) -> None:
    async with running() as service:
        first, second = [await create(service, asked(stream=stream)) for _ in range(2)]
        assert [one.headers["x-cache"] for one in (first, second)] == ["miss", "miss"]
        assert service.record.total == 2
        assert await service.metric("imagesearch_store_bytes") == 0


@pytest.mark.parametrize("stream", [False, True])
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
            assert refused.status_code == 422
            assert error_of(refused)["code"] == "idempotency_mismatch"
        search = {"image_url": IMAGE_URL, "prompt": "What is it?"}
        mixed = await service.http.post("/search", json=search, headers=KEYED | SHOP)
        assert mixed.json()["code"] == "idempotency_mismatch"
        assert (await create(service, body, **KEYED, **BLOG)).headers["x-cache"] == "miss"
        another = {"Idempotency-Key": "order-2"}
        assert (await create(service, body, **another, **SHOP)).headers["x-cache"] == "miss"


async def test_a_key_knows_a_picture_by_its_content_and_a_large_one_is_made_smaller() -> None:
    packed = io.BytesIO()
    Image.new("RGB", (40, 40), "blue").save(packed, "PNG")
    encoded = base64.b64encode(packed.getvalue()).decode()
    async with running(image_max_side=32) as service:
        for number, head in enumerate(("data:image/png;base64,", "DATA:image/png;base64,")):
            answer = await create(service, asked(image=head + encoded), **KEYED)
            assert answer.headers["x-cache"] == ("hit" if number else "miss")
        [sent] = service.record.calls[0].images
        assert (sent.width, sent.height) == (32, 32)


async def test_a_failed_call_frees_its_key() -> None:
    body = asked("[sim http_500 times=1]", stream=True)
    async with running() as service:
        assert (await create(service, body, **KEYED)).status_code == 502
        assert blocks((await create(service, body, **KEYED)).text)[-1][0] == "response.completed"


async def test_without_a_free_place_the_call_may_be_tried_again() -> None:
    async with running(capacity=1, capacity_wait_s=0) as service:
        asking = asyncio.create_task(create(service, asked("[sim hang]")))
        await service.record.until(lambda record: record.open == 1)
        refused = await create(service, asked(stream=True))
        assert refused.status_code == 503
        assert error_of(refused)["code"] == "overloaded"
        assert refused.headers["x-should-retry"] == "true"
        asking.cancel()
        await service.record.idle()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("scenario", "again"),
    [
        ("http_400", "false"),
        ("http_401", "false"),
        ("http_429", "true"),
        ("throttled_200", "true"),
        ("http_500", "false"),
        ("reset_before_headers", "false"),
        ("html_200", "false"),
        ("error row=download_timeout", "true"),
    ],
)
async def test_sdks_learn_whether_to_try_again(
    scenario: str, again: str, *, stream: bool, service: Running
) -> None:
    response = await create(service, asked(f"[sim {scenario}]", stream=stream))
    assert response.status_code >= 400
    assert response.headers["x-should-retry"] == again
    assert ("retry-after" in response.headers) is (response.status_code == 503)
    assert error_of(response)["code"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        *(
            (f"error row=web_extractor as={form}", 422, "invalid_request")
            for form in ("http", "nested", "sse", "failed")
        ),
        *((name, 502, "upstream_rejected") for name in ("http_404", "http_405", "redirect")),
    ],
)
async def test_what_the_upstream_finds_not_valid_is_the_callers_own(
    words: str, status: int, code: str, service: Running
) -> None:
    for stream in (False, True):
        response = await create(service, asked(f"[sim {words}]", stream=stream))
        assert (response.status_code, error_of(response)["code"]) == (status, code)
