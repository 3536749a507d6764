"""Refusals of requests, in the vendor's words."""

from typing import Any

import httpx
import pytest

from simulator.images import DATA_URL_MAX_BYTES, STRING_MAX_CHARS
from tests.simulator.asking import (
    as_data_url,
    blank_url,
    data_url,
    desk,
    events,
    question,
)

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "[400] missing_required_parameter: Missing required parameter: 'model'."),
    ({"model": "__nope__"}, "Unsupported model: '__nope__'"),
    ({"model": "qwen3.6-27b"}, "Unsupported model: 'qwen3.6-27b'"),
    (
        {"max_output_tokens": 1},
        "Invalid 'max_output_tokens': must be greater than or equal to 16, got 1.",
    ),
    (
        {"temperature": 5},
        "Invalid 'temperature': 5. Expected a value between [0,2), but got 5 instead.",
    ),
    ({"top_p": 9}, "Invalid 'top_p': 9. Expected a value between (0,1], but got 9 instead."),
    (
        {"reasoning": {"effort": "bogus"}},
        (
            "Invalid 'reasoning.effort': bogus. Supported values are: "
            "('none','minimal','low','medium','high','xhigh','max')."
        ),
    ),
    ({"store": "NOT_A_BOOL"}, "Invalid 'store': NOT_A_BOOL. Must be a boolean."),
    ({"previous_response_id": "resp_0"}, "Not found previous_response_id: resp_0"),
    (
        {"previous_response_id": "resp_0", "conversation": "conv_0"},
        (
            "Mutually exclusive parameters: Ensure you are only providing one of: "
            "previous_response_id or conversation."
        ),
    ),
    (
        {"tools": [{"type": "web_extractor"}]},
        (
            "<400> InternalError.Algo.InvalidParameter: The web_extractor tool must be executed "
            "with web_search tool."
        ),
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
async def test_a_bad_parameter_is_a_flat_400(fields: dict[str, Any], message: str) -> None:
    async with desk() as at:
        answer = await at.ask(question() | fields)
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "InvalidParameter",
        "message": message,
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize(("fields", "message"), REFUSED)
async def test_a_bad_parameter_in_a_stream_is_a_lone_failed_event(
    fields: dict[str, Any], message: str
) -> None:
    async with desk() as at:
        answer = await at.ask(question(stream=True) | fields)
    assert answer.status_code == 200
    assert answer.text.startswith("id:1\nevent:response.failed\n:HTTP_STATUS/200\ndata:")
    (event,) = events(answer.content)
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"] == {"code": "InvalidParameter", "message": message}


INSPECTION = "InvalidParameter.DataInspection"
IMAGES = [
    ("ftp://pictures.example/a.jpg", "InvalidParameter", "The provided URL does not appear"),
    ("https://elsewhere.example/a.jpg", INSPECTION, "Unable to download the media resource"),
    ("https://gallery.example/nothing", INSPECTION, "Failed to find the requested media"),
    ("data:text/plain;base64,aGVsbG8=", INSPECTION, "The media format is not supported"),
    ("data:image/png;base64,@@@", INSPECTION, "Failed to decode the image"),
    ("data:image/png,plain", "InvalidParameter", "The provided URL does not appear"),
    (as_data_url(b"no picture", "png"), INSPECTION, "Failed to decode the image"),
    (data_url("plums")[:-4000], INSPECTION, "Failed to decode the image"),
    (blank_url(10, 50), "InvalidParameter", "The image length and width do not meet"),
    (blank_url(11, 2300), "InvalidParameter", "The image length and width do not meet"),
    (
        "data:image/png;base64," + "A" * DATA_URL_MAX_BYTES,
        "BadRequest.TooLarge",
        "Exceeded limit on max bytes per data-uri item : 20971520",
    ),
    (
        "data:image/png;base64," + "A" * STRING_MAX_CHARS,
        "BadRequest.TooLarge",
        "String value length (28000022) exceeds the maximum allowed",
    ),
]


@pytest.mark.parametrize(("url", "code", "message"), IMAGES, ids=[str(n) for n in range(12)])
async def test_an_image_that_cannot_be_used_is_refused(url: str, code: str, message: str) -> None:
    body = question()
    body["input"][0]["content"][1]["image_url"] = url
    async with desk() as at:
        answer = await at.ask(body)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize("size", [(11, 11), (11, 2200)])
async def test_an_image_at_the_limit_passes(size: tuple[int, int]) -> None:
    body = question()
    body["input"][0]["content"][1]["image_url"] = blank_url(*size)
    async with desk() as at:
        assert (await at.ask(body)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No API-key provided."),
        ({"authorization": "Basic eDp5"}, "No API-key provided."),
        ({"authorization": "Bearer sk-other"}, "Invalid API-key provided."),
    ],
)
@pytest.mark.parametrize("path", ["/responses", "/responses/resp_0", "/models"])
async def test_every_endpoint_checks_the_key(
    path: str, headers: dict[str, str], message: str
) -> None:
    async with desk() as at, httpx.AsyncClient(headers=headers, trust_env=False) as stranger:
        method = "POST" if path == "/responses" else "GET"
        answer = await stranger.request(method, f"{at.url}/v1{path}", content=b"{}")
    assert answer.status_code == 401
    assert answer.json() == {
        "code": "InvalidApiKey",
        "message": message,
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    async with desk() as at:
        answer = await at.client.post("/responses", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")


async def test_unknown_parameters_and_tools_are_ignored_and_metadata_is_echoed() -> None:
    tools = [{"type": "image_search"}, {"type": "time_travel", "year": 1900}]
    async with desk() as at:
        answer = await at.ask(question(tools=tools, novelty=1, metadata={"a": "b"}))
        body = answer.json()
        stored = (await at.client.get(f"/responses/{body['id']}")).json()
    assert body["tools"] == tools
    assert body["metadata"] == {"a": "b"}
    assert stored == body | {"metadata": {}}


async def test_without_the_tool_or_an_image_nothing_is_searched() -> None:
    async with desk() as at:
        for body in (question(tools=[]), question() | {"input": "Just text"}):
            answer = (await at.ask(body)).json()
            assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
            assert "x_tools" not in answer["usage"]


@pytest.mark.parametrize("fields", [{"reasoning": {"effort": "none"}}, {"enable_thinking": False}])
async def test_without_thinking_there_are_no_reasoning_items(fields: dict[str, Any]) -> None:
    async with desk() as at:
        answer = (await at.ask(question() | fields)).json()
    assert [item["type"] for item in answer["output"]] == ["image_search_call", "message"]


async def test_an_answer_longer_than_allowed_is_incomplete() -> None:
    async with desk() as at:
        short = await at.ask(question(max_output_tokens=16, stream=True))
        whole = await at.ask(question(max_output_tokens=5000))
    last = events(short.content)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert len(last["response"]["output"][-1]["content"][0]["text"].split()) == 16
    assert whole.json()["status"] == "completed"
