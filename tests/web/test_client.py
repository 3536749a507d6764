"""The browser client in Node, in front of a service on a real socket."""

import base64
from typing import Any

import pytest

from simulator import gallery
from simulator.pictures import PICTURES
from tests.e2e.callers import GUARDED
from tests.service import GALLERY_URL, Running, running
from tests.web.node_programs import run_node

PICTURE = PICTURES[7]
URL = GALLERY_URL + PICTURE.name
KEY = "shop-key-0123456789abcdef0123456789abcdef"
CLOSED: dict[str, Any] = {"client_keys": f"shop:{KEY}", "allow_anonymous": False}


async def behave(case: str, service: Running, **given: Any) -> Any:
    return await run_node("behaviour", case=case, service=service.url, image=URL, key=KEY, **given)


async def test_a_file_is_uploaded_with_a_token_that_a_function_gets() -> None:
    file = base64.b64encode(gallery.jpeg(PICTURES[3].name)).decode()
    settings = CLOSED | {"client_token_secret": GUARDED["client_token_secret"]}
    async with running(**settings) as service:
        found = await behave("upload", service, file=file)
        await service.record.idle()
        call = service.record.calls[-1]
    assert found["tokens"] == [False]
    assert len(call.images) == 2
    assert found["result"]["object"] == "search"
    assert found["result"]["results"] == found["found"]
    assert "searching" in found["phases"]
    deltas, wholes = zip(*found["texts"], strict=True)
    assert "".join(deltas) == wholes[-1] == found["result"]["text"]


async def test_a_lost_token_is_refreshed_exactly_once() -> None:
    async with running(**CLOSED) as service:
        found = await behave("refreshed", service)
        total = service.record.total
    assert found["tokens"] == [False, True]
    assert found["last"] == "search.completed"
    assert len(found["asked"]) == 2
    assert found["asked"][0] == found["asked"][1]
    assert total == 1


async def test_the_second_refusal_of_a_token_stands() -> None:
    async with running(**CLOSED) as service:
        found = await behave("refused_twice", service)
    assert found["tokens"] == [False, True]
    assert found["error"]["code"] == "unauthorized"
    assert len(found["asked"]) == 2


@pytest.mark.parametrize(
    ("case", "requests"),
    [("aborted_before", 0), ("aborted_while_it_streams", 1), ("aborted_while_it_waits", 1)],
)
async def test_an_abort_makes_no_further_request(case: str, requests: int) -> None:
    async with running() as service:
        found = await behave(case, service, prompt="[sim gated tag=aborted]")
    assert found["error"]["name"] == "AbortError"
    assert not found["error"]["isSearchError"]
    assert len(found["asked"]) == requests


async def test_a_search_that_was_seen_to_its_end_has_no_more_events() -> None:
    async with running() as service:
        found = await behave("seen_to_its_end", service)
    assert found["rest"] == []
    assert found["tail"] == ["search.completed"]


@pytest.mark.parametrize("scenario", ["reset_before_headers", "fails_after_billing", "garbage"])
async def test_what_may_be_billed_is_not_repeated(scenario: str) -> None:
    async with running() as service:
        found = await behave("failed", service, prompt=f"[sim {scenario}]")
        total = service.record.total
    assert found["error"]["isSearchError"]
    assert found["error"]["billed"] == "maybe"
    assert len(found["asked"]) == total == 1


async def test_what_was_not_served_is_repeated_with_the_same_key() -> None:
    async with running(upstream_retries=0) as service:
        found = await behave("failed_stream", service, prompt="[sim http_429 times=1 tag=again]")
    assert found["last"]["type"] == "search.completed"
    assert len(found["asked"]) == 2
    keys = {key for *_, key in found["asked"]}
    assert len(keys) == 1
    assert len(keys.pop()) == 32


async def test_an_error_has_the_fields_of_the_problem() -> None:
    async with running(image_max_count=0 + 1) as service:
        found = await behave("failed", service, prompt="x" * 8_001)
    error = found["error"]
    assert error["name"] == "SearchError"
    assert error["message"] == error["detail"]
    assert (error["code"], error["status"]) == ("invalid_request", 422)
    assert (error["retryable"], error["billed"]) == (False, "no")
    assert error["errors"][0]["field"] == "prompt"
    assert error["request_id"]


async def test_a_search_that_fails_throws_with_what_was_found() -> None:
    async with running() as service:
        found = await behave("failed", service, prompt="[sim cut_after_results]")
        streamed = await behave("failed_stream", service, prompt="[sim cut_after_results] again")
    assert found["error"]["code"] == "upstream_interrupted"
    assert found["error"]["result"]["results"]
    assert streamed["last"]["type"] == "search.failed"
    assert streamed["last"]["result"]["results"]


async def test_a_search_can_be_cancelled() -> None:
    async with running() as service:
        found = await behave("cancelled", service, prompt="[sim gated tag=never]")
    assert found["result"]["status"] == "cancelled"
    assert found["events"][-1] == "search.cancelled"
    assert found["unknown"]["code"] == "search_not_found"


async def test_a_connection_that_is_lost_for_good_is_an_error() -> None:
    async with running() as service:
        found = await behave("lost_for_good", service)
    assert found["error"]["code"] == "connection_lost"
    assert found["error"]["billed"] == "maybe"


async def test_a_search_that_the_service_has_lost_is_never_started_anew() -> None:
    async with running() as service:
        found = await behave("never_anew", service, prompt="[sim gated tag=lost]")
        total = service.record.total
    assert found["started"] == "search.created"
    assert found["error"]["code"] == "search_not_found"
    assert [method for method, *_ in found["asked"]] == ["POST", "GET"]
    assert total == 1


async def test_frames_are_read_byte_by_byte_with_comments_and_odd_line_separators() -> None:
    async with running() as service:
        found = await behave("odd_frames", service)
    assert found["events"] == [
        {"type": "a", "text": "x\u2028y é"},
        {"type": "b"},
        {"type": "search.cancelled"},
    ]


async def test_a_gateways_refusal_is_only_repeated_where_nothing_can_be_paid() -> None:
    async with running() as service:
        found = await behave("gateway_in_the_way", service)
    assert (found["posted"]["status"], found["posted"]["billed"]) == (502, "maybe")
    assert found["rest"] == []


async def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    async with running() as service:
        found = await behave("far_too_often", service)
    assert found["error"]["retry_after"] == 3600
