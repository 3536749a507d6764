"""What the simulator accepts, refuses and stores, in the vendor's words."""

from typing import Any

import pytest
from PIL import Image

from simulator.pictures import PICTURES
from tests.e2e.simulator.asking import as_data_url, data_url, events, found, question, upstream

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
INSPECTION = "InvalidParameter.DataInspection"
IMAGES = [
    ("ftp://pictures.example/a.jpg", "InvalidParameter", "The provided URL does not appear"),
    ("https://elsewhere.example/a.jpg", INSPECTION, "Unable to download the media resource"),
    ("https://gallery.example/nothing", INSPECTION, "Failed to find the requested media"),
    ("data:text/plain;base64,aGVsbG8=", INSPECTION, "The media format is not supported"),
    (data_url("plums")[:-4000], INSPECTION, "Failed to decode the image"),
    (as_data_url(Image.new("L", (10, 50)), "PNG"), "InvalidParameter", "The image length and"),
    (as_data_url(Image.new("L", (11, 2201)), "PNG"), "InvalidParameter", "The image length and"),
    ("data:image/png;base64," + "A" * 20_971_520, "BadRequest.TooLarge", "Exceeded limit on max"),
    ("data:image/png;base64," + "A" * 28_000_000, "BadRequest.TooLarge", "String value length (28"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
async def test_a_bad_parameter_is_a_flat_400_or_a_lone_failed_event(
    fields: dict[str, Any], message: str
) -> None:
    async with upstream() as at:
        whole = await at.ask(question() | fields)
        streamed = await at.ask(question(stream=True) | fields)
    body = whole.json()
    assert (whole.status_code, body["code"]) == (400, "InvalidParameter")
    assert body["message"].startswith(message)
    assert body["request_id"] == whole.headers["x-request-id"]
    assert streamed.text.startswith("id:1\nevent:response.failed\n:HTTP_STATUS/200\ndata:")
    (event,) = events(streamed.content)
    assert event["response"]["error"] == {"code": body["code"], "message": body["message"]}


@pytest.mark.parametrize(("url", "code", "message"), IMAGES, ids=[url[:40] for url, *_ in IMAGES])
async def test_an_unusable_image_is_refused(url: str, code: str, message: str) -> None:
    async with upstream() as at:
        answer = await at.ask(question("Alike?", url))
        limit = as_data_url(Image.new("L", (11, 2200)), "PNG")
        assert (await at.ask(question("Alike?", limit))).status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["message"].startswith(message)


async def test_every_endpoint_checks_the_key_and_unknown_routes_are_refused() -> None:
    async with upstream() as at:
        for method, path in (("POST", "/responses"), ("DELETE", "/responses/resp_0")):
            for key, message in (("", "No API-key"), ("Bearer sk-other", "Invalid API-key")):
                headers = {"authorization": key}
                answer = await at.client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "InvalidApiKey")
                assert answer.json()["message"] == f"{message} provided."
        assert (await at.client.get("/responses")).status_code == 405
        assert (await at.client.post("/bogus")).json()["message"] == "Not support"


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
