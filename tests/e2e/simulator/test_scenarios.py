"""The stand-in by itself: its scenarios, and what it accepts, refuses and stores.

What a caller of the service gets in each scenario is in `e2e/test_scenarios`.
"""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator.catalogue import SCENARIOS
from simulator.pictures import PICTURES
from tests.e2e.simulator.asking import (
    KEY,
    Upstream,
    as_data_url,
    data_url,
    found,
    question,
    upstream,
)

SILENT = {"stall_before_first", "stall", "hang"}
ENDLESS = {"endless", "event_without_end"}
BROKEN = {"reset_before_headers", "reset_after_headers", "reset_mid_stream", "unterminated_chunked"}
ENOUGH_BYTES = 200_000


async def play(at: Upstream, name: str, *, stream: bool) -> None:
    body = question(f"[sim {name} delay=0 s=0 bytes=5000]", stream=stream)
    n_bytes = 0
    async with at.client.stream("POST", "/responses", json=body) as answer:
        async for chunk in answer.aiter_raw():
            n_bytes += len(chunk)
            if n_bytes > ENOUGH_BYTES:
                break


@pytest.mark.parametrize("stream", [True, False])
async def test_every_scenario_ends_and_is_recorded_without_a_logged_error(
    *, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with upstream() as at:
        await at.client.post(f"{at.url}/gate/default")
        for number, name in enumerate(SCENARIOS):
            playing = asyncio.create_task(play(at, name, stream=stream))
            if name in SILENT:
                await at.record.until(lambda record: record.open == 1)
                playing.cancel()
            ended = (await asyncio.gather(playing, return_exceptions=True))[0]
            assert isinstance(ended, httpx.TransportError) is (name in BROKEN), name
            await at.record.idle()
            assert (at.record.total, at.last.scenario) == (number + 1, name)
            assert (at.last.finished == "client_gone") is (name in SILENT | ENDLESS), name
    assert caplog.records == []


# name: bytes that only this scenario's stream contains.
FRAMINGS = {
    "crlf": b"event:response.created\r\n:HTTP_STATUS/200\r\ndata:{",
    "cr": b"event:response.created\r:HTTP_STATUS/200\rdata:{",
    "glued_event_name": b"\nevent:response.created:HTTP_STATUS/200\ndata:{",
    "no_event_name": b"id:1\n:HTTP_STATUS/200\ndata:{",
    "multi_data_lines": b'\ndata:{\ndata:"sequence_number":0,',
    "bom": b"\xef\xbb\xbfid:1\n",
    "done_marker": b"}\n\ndata:[DONE]\n\n",
    "comments": b"\n: a comment line\nid:1\n:\n",
    "space_after_colon": b"id: 1\nevent: response.created\n:HTTP_STATUS/200\ndata: {",
    "extra_blank_lines": b"}\n\n\n\nid:2\n",
    "reasoning_summary_text": b"event:response.reasoning_summary_text.delta\n",
    "id_equals_sequence": b"id:0\nevent:response.created\n",
    "incomplete": b"event:response.incomplete\n",
    "invented_url": b"https://invented.example/",
    "echo_key": KEY["authorization"].split()[1].encode(),
}


async def test_a_reply_differs_from_a_normal_one_as_its_scenario_says() -> None:
    async with upstream() as at:
        normal = (await at.stream("[sim normal seed=1]")).content
        assert normal != (await at.stream("[sim normal seed=2]")).content
        for name, mark in FRAMINGS.items():
            assert mark in (await at.stream(f"[sim {name}]")).content, name
            assert mark not in normal, name


async def test_scenarios_combine_from_header_and_prompt_and_end_after_some_calls() -> None:
    async with upstream() as at:
        body = question("Both [sim crlf]", stream=True)
        answer = await at.ask(body, **{"x-simulate": "two_calls results=3"})
        assert (at.last.scenario, at.last.tool_calls) == ("two_calls crlf", 2)
        flaky = question("[sim http_503 times=2 tag=mine]")
        statuses = [(await at.ask(flaky)).status_code for _ in range(4)]
        other = await at.ask(question("[sim http_503 times=1 tag=yours]"))
        for words in ("pace=x", "pace=61", "size=1", "error row=no", "error as=no", "nonsense"):
            wrong = await at.stream(f"[sim {words}]")
            code = "SimulatorUnknownScenario" if words == "nonsense" else "SimulatorBadParameter"
            assert (wrong.status_code, wrong.json()["code"]) == (400, code)
    assert b"\r\n" in answer.content
    assert answer.content.count(b'\\"index\\"') == 2 * 2 * 3
    assert (statuses, other.status_code) == ([503, 503, 200, 200], 503)


TAG = "<400> InternalError.Algo.InvalidParameter:"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "[400] missing_required_parameter: Missing required parameter: 'model'."),
    ({"input": None}, "[400] missing_required_parameter: Missing required parameter: 'input'."),
    ({"model": "qwen3.6-27b"}, "Unsupported model: 'qwen3.6-27b'"),
    ({"max_output_tokens": 1}, "Invalid 'max_output_tokens': must be greater than or equal to 16,"),
    ({"temperature": 2}, "Invalid 'temperature': 2. Expected a value between [0,2), but got 2"),
    ({"top_p": 0}, "Invalid 'top_p': 0. Expected a value between (0,1], but got 0 instead."),
    ({"reasoning": {"effort": "x"}}, "Invalid 'reasoning.effort': x. Supported values are:"),
    ({"store": "NOT_A_BOOL"}, "Invalid 'store': NOT_A_BOOL. Must be a boolean."),
    ({"previous_response_id": "resp_0"}, "Not found previous_response_id: resp_0"),
    ({"previous_response_id": "resp_0", "conversation": "c"}, "Mutually exclusive parameters:"),
    ({"tools": [{"type": "web_extractor"}]}, f"{TAG} The web_extractor tool must be executed"),
    ({"tools": [{"type": "function", "function": {}}]}, f"{TAG} The parameters, when provided as"),
]


async def test_a_bad_parameter_is_a_flat_400_or_a_lone_failed_event() -> None:
    async with upstream() as at:
        for fields, message in REFUSED:
            whole = await at.ask(question() | fields)
            body = whole.json()
            assert (whole.status_code, body["code"]) == (400, "InvalidParameter")
            assert body["message"].startswith(message)
            assert body["request_id"] == whole.headers["x-request-id"]
            head, _, data = (await at.ask(question(stream=True) | fields)).text.partition("data:")
            assert head == "id:1\nevent:response.failed\n:HTTP_STATUS/200\n"
            error = {"code": body["code"], "message": body["message"]}
            assert json.loads(data)["response"]["error"] == error


IMAGES: list[tuple[str, str]] = [
    # the address, and what is said of it
    ("ftp://pictures.example/a.jpg", "The provided URL does not appear"),
    ("https://elsewhere.example/a.jpg", "Unable to download the media resource"),
    ("https://gallery.example/nothing", "Failed to find the requested media"),
    ("data:text/plain;base64,aGVsbG8=", "The media format is not supported"),
    (data_url("plums")[:-4000], "Failed to decode the image"),
    (as_data_url(Image.new("L", (10, 50)), "PNG"), "The image length and"),
    (as_data_url(Image.new("L", (11, 2201)), "PNG"), "The image length and"),
    ("data:image/png;base64," + "A" * 20_971_520, "Exceeded limit on max"),
    ("data:image/png;base64," + "A" * 28_000_000, "String value length (28"),
]


async def test_an_unusable_image_and_a_wrong_key_are_refused() -> None:
    async with upstream() as at:
        for url, message in IMAGES:
            answer = await at.ask(question("Alike?", url))
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(message)
        limit = as_data_url(Image.new("L", (11, 2200)), "PNG")
        assert (await at.ask(question("Alike?", limit))).status_code == 200
        for method, path in (("POST", "/responses"), ("DELETE", "/responses/resp_0")):
            for key, message in (("", "No API-key"), ("Bearer sk-other", "Invalid API-key")):
                headers = {"authorization": key}
                answer = await at.client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "InvalidApiKey")
                assert answer.json()["message"] == f"{message} provided."


async def test_unknown_parameters_are_ignored_and_metadata_is_echoed_but_not_stored() -> None:
    tools = [{"type": "image_search"}, {"type": "time_travel", "year": 1900}]
    async with upstream() as at:
        made = (await at.ask(question(tools=tools, novelty=1, metadata={"a": "b"}))).json()
        path = f"/responses/{made['id']}"
        stored = (await at.client.get(path)).json()
        items = (await at.client.get(f"{path}/input_items")).json()
        follow = question() | {"input": "And again?", "previous_response_id": made["id"]}
        followed = (await at.ask(follow)).json()
        deleted = (await at.client.delete(path)).json()
        gone = await at.client.get(path)
    assert (made["tools"], made["metadata"]) == (tools, {"a": "b"})
    assert stored == made | {"metadata": {}}
    assert (len(items["data"]), items["created_at"]) == (1, made["created_at"] * 1000)
    assert found(followed) == found(made)
    assert deleted == {"deleted": True, "id": made["id"]}
    message = f"Response with id '{made['id']}' not found."
    assert gone.json() == {"error": {"message": message, "type": "InvalidParameter"}}


async def test_a_search_finds_every_picture_of_the_gallery_again_after_recompression() -> None:
    async with upstream() as at:
        for picture in PICTURES:
            url = data_url(picture.name, scale=0.5)
            results = found((await at.ask(question("Alike?", url))).json())
            assert results[0]["title"] == picture.title
            assert (await at.client.get(results[0]["url"])).headers["content-type"] == "image/jpeg"
        assert (at.last.images[0].width, at.last.images[0].format) == (160, "JPEG")
        page = (await at.client.get(f"{at.url}/gallery/")).text
        record = await at.client.get(f"{at.url}/record?last=1")
    assert [result["index"] for result in results] == list(range(1, 9))
    assert page.count("<img") == len(PICTURES)
    assert record.json()["billed"] == len(PICTURES)
    assert record.json()["calls"][0]["headers"]["authorization"] == "Bearer"
