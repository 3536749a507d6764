"""The browser client in Node, in front of a service on a real socket."""

import base64
from typing import Any

import pytest

from simulator import gallery
from simulator.pictures import PICTURES
from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import GUARDED, SHOP_KEY
from tests.service import Running, running
from tests.web.node_programs import run_node


async def behave(case: str, service: Running, **given: Any) -> Any:
    asked = {"image": IMAGE_URL, "key": SHOP_KEY} | given
    return await run_node("behaviour", case=case, service=service.url, **asked)


async def test_a_file_is_uploaded_with_a_token_that_a_function_gets() -> None:
    file = base64.b64encode(gallery.jpeg(PICTURES[3].name)).decode()
    async with running(**GUARDED) as service:
        found = await behave("upload", service, file=file)
        call = await service.last_call()
    assert found["tokens"] == [False]
    assert len(call.images) == 2
    assert found["result"]["object"] == "search"
    assert found["result"]["results"] == found["found"]
    assert "searching" in found["phases"]
    deltas, wholes = zip(*found["texts"], strict=True)
    assert "".join(deltas) == wholes[-1] == found["result"]["text"]


async def test_a_lost_token_is_refreshed_once_and_its_second_refusal_stands() -> None:
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        found = await behave("refreshed", service)
        assert service.record.total == 1
        again = await behave("refused_twice", service)
    assert found["tokens"] == again["tokens"] == [False, True]
    assert found["last"] == "search.completed"
    assert [len(found["asked"]), len(again["asked"])] == [2, 2]
    assert found["asked"][0] == found["asked"][1]
    assert again["error"]["code"] == "unauthorized"


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


async def test_only_what_was_not_served_is_repeated_with_the_same_key() -> None:
    async with running(upstream_retries=0) as service:
        billed = await behave("failed", service, prompt="[sim reset_before_headers]")
        assert len(billed["asked"]) == service.record.total == 1
        found = await behave("failed_stream", service, prompt="[sim http_429 times=1 tag=again]")
    assert billed["error"]["billed"] == "maybe"
    assert found["last"]["type"] == "search.completed"
    (_, _, key), (_, _, again) = found["asked"]
    assert key == again
    assert len(key) == 32


async def test_an_error_has_the_fields_of_the_problem_and_what_was_found() -> None:
    async with running() as service:
        refused = (await behave("failed", service, prompt="x" * 8_001))["error"]
        failed = (await behave("failed", service, prompt="[sim cut_after_results]"))["error"]
        streamed = await behave("failed_stream", service, prompt="[sim cut_after_results] again")
    assert refused["name"] == failed["name"] == "SearchError"
    assert refused["message"] == refused["detail"]
    assert (refused["code"], refused["status"]) == ("invalid_request", 422)
    assert (refused["retryable"], refused["billed"]) == (False, "no")
    assert refused["errors"][0]["field"] == "prompt"
    assert refused["request_id"]
    assert failed["code"] == "upstream_interrupted"
    assert failed["result"]["results"]
    assert streamed["last"]["type"] == "search.failed"
    assert streamed["last"]["result"]["results"]


async def test_a_search_can_be_cancelled() -> None:
    async with running() as service:
        found = await behave("cancelled", service, prompt="[sim gated tag=never]")
    assert (found["result"]["status"], found["events"][-1]) == ("cancelled", "search.cancelled")
    assert found["unknown"]["code"] == "search_not_found"


async def test_a_search_that_the_service_has_lost_is_never_started_anew() -> None:
    async with running() as service:
        found = await behave("never_anew", service, prompt="[sim gated tag=lost]")
        total = service.record.total
    assert (found["started"], found["error"]["code"]) == ("search.created", "search_not_found")
    assert [method for method, *_ in found["asked"]] == ["POST", "GET"]
    assert total == 1


async def test_frames_are_read_byte_by_byte_and_to_the_last_event_alone() -> None:
    async with running() as service:
        odd = await behave("odd_frames", service)
        seen = await behave("seen_to_its_end", service)
    one, *others = odd["events"]
    assert one == {"type": "a", "text": "x\u2028y é"}
    assert others == [{"type": "b"}, {"type": "search.cancelled"}]
    assert (seen["tail"], seen["rest"]) == (["search.completed"], [])


async def test_what_is_in_the_way_is_only_asked_again_where_nothing_can_be_paid() -> None:
    async with running() as service:
        found = await behave("gateway_in_the_way", service)
        lost = (await behave("lost_for_good", service))["error"]
        later = (await behave("far_too_often", service))["error"]
    assert (found["posted"]["status"], found["posted"]["billed"]) == (502, "maybe")
    assert found["rest"] == []
    assert (lost["code"], lost["billed"]) == ("connection_lost", "maybe")
    assert later["retry_after"] == 3600
