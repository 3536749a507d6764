"""What `/v1` refuses, in OpenAI's shape, before the upstream hears of it."""

import json
from typing import Any

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import BLOG, EVIL, GUARDED, PAGE, SECRET, SHOP, bearer, token
from tests.e2e.v1 import asked, create, directly_get, error_of
from tests.service import Running, running


def parts(*more: dict[str, Any]) -> dict[str, Any]:
    """A question with such parts."""
    content = [{"type": "input_text", "text": "What is it?"}, *more]
    return asked(input=[{"role": "user", "content": content}])


PDF = "https://files.example/x.pdf"
INVALID = "invalid_request"
FUNCTION_OUTPUT = {
    "type": "function_call_output",
    "call_id": "c",
    "output": [{"type": "input_file", "file_url": PDF}],
}
IMAGE_PART = {"type": "input_image", "image_url": IMAGE_URL}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # the body, the code, and the member that is named
    "no model": (asked(model=None), INVALID, "model"),
    "a number for a model": (asked(model=5), INVALID, "model"),
    "an unknown model": (asked(model="gpt-4"), "model_not_allowed", ""),
    "no input": (asked(input=None), INVALID, "input"),
    "an object for an input": (asked(input={"role": "user"}), INVALID, "input"),
    "a word for stream": (asked(stream="true"), INVALID, "stream"),
    "a conversation": (asked(conversation="conv_1"), INVALID, "conversation"),
    "a conversation object": (asked(conversation={"id": "c"}), INVALID, "conversation"),
    "web search": (asked(tools=[{"type": "web_search"}]), INVALID, "tools"),
    "a second tool": (
        asked(tools=[{"type": "image_search"}, {"type": "code_interpreter"}]),
        INVALID,
        "tools",
    ),
    "an mcp server": (asked(tools=[{"type": "mcp", "server_url": PDF}]), INVALID, "tools"),
    "a function": (asked(tools=[{"type": "function", "name": "f"}]), INVALID, "tools"),
    "tools that are none": (asked(tools={"type": "image_search"}), INVALID, "tools"),
    "a tool without a type": (asked(tools=[{}]), INVALID, "tools"),
    "a file by address": (parts({"type": "input_file", "file_url": PDF}), INVALID, "input"),
    "a file by id": (parts({"type": "input_image", "file_id": "file-1"}), INVALID, "input"),
    "a file in the body": (parts({"type": "input_file", "file_data": "AA"}), INVALID, "input"),
    "audio": (parts({"type": "input_audio", "input_audio": {"data": "AA"}}), INVALID, "input"),
    "video": (parts({"type": "video_url", "video_url": {"url": PDF}}), INVALID, "input"),
    "a video in an image part": (parts(IMAGE_PART | {"video": [PDF]}), INVALID, "input"),
    "a part of no kind": (parts({"image": IMAGE_URL}), INVALID, "input"),
    "a file as what a function gave": (asked(input=[FUNCTION_OUTPUT]), INVALID, "input"),
    "a reference": (asked(input=[{"type": "item_reference", "id": "msg_1"}]), INVALID, "input"),
    "a reference without its name": (asked(input=[{"id": "msg_1"}]), INVALID, "input"),
    "an item that is none": (asked(input=["Hello"]), INVALID, "input"),
    "a private image": (asked(image="http://192.168.0.1/x.jpg"), "image_url_invalid", ""),
    "a local image": (asked(image="file:///etc/passwd"), "image_url_invalid", ""),
    "an image in their storage": (asked(image="oss://bucket/x.jpg"), "image_url_invalid", ""),
    "a private image in an object": (
        asked(image={"url": "http://localhost/x.jpg"}),
        "image_url_invalid",
        "",
    ),
    "an image by address and id": (
        asked(image={"url": IMAGE_URL, "file_id": "f"}),
        INVALID,
        "input",
    ),
    "an image that is a number": (asked(image=5), INVALID, "input"),
    "text as an image": (
        asked(image="data:image/png;base64,SGVsbG8sIEkgYW0gbm8gcGljdHVyZS4="),
        "image_type_unsupported",
        "",
    ),
    "too many images": (parts(*[IMAGE_PART] * 9), INVALID, "input"),
    "an answer of nobody's": (
        asked(previous_response_id="resp_1"),
        INVALID,
        "previous_response_id",
    ),
    "an answer without a name": (asked(previous_response_id=5), INVALID, "previous_response_id"),
}


@pytest.fixture(scope="module")
async def service() -> Any:
    async with running() as one:
        yield one
        assert not one.record.total


@pytest.mark.parametrize("refusal", REFUSED)
async def test_a_request_is_refused(service: Running, refusal: str) -> None:
    body, code, field = REFUSED[refusal]
    for stream in (False, True):
        asked_so = body if "stream" in body else body | {"stream": stream}
        response = await create(service, asked_so)
        error = error_of(response)
        assert error["code"] == code, error
        assert error["type"] == "invalid_request_error"
        assert (error["param"] or "").startswith(field)
        assert response.status_code == (415 if code == "image_type_unsupported" else 422)
        assert response.headers["x-should-retry"] == "false"
        assert "\n" not in error["message"]


MALFORMED: dict[str, bytes] = {
    "no JSON": b"model=qwen3.7-plus",
    "no object": b"[]",
    "cut off": b'{"model": "qwen3.7-plus"',
    "two models": b'{"model": "qwen3.7-plus", "model": "qwen-max", "input": "x"}',
    "two roles": b'{"model": "qwen3.7-plus", "input": [{"role": "user", "role": "x"}]}',
    "not a number": b'{"model": "qwen3.7-plus", "input": "x", "temperature": NaN}',
    "other letters": '{"model": "qwen3.7-plus", "input": "x"}'.encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + b'{"model": "qwen3.7-plus", "input": "x"}',
    "half a character": b'{"model": "qwen3.7-plus", "input": "\xe4\xbd"}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_body_that_two_could_read_differently_is_none(service: Running, body: str) -> None:
    response = await create(service, MALFORMED[body])
    assert response.status_code == 400
    assert error_of(response)["code"] == "malformed_body"


@pytest.mark.parametrize("depth", [400, 860, 930, 1_000, 100_000])
async def test_no_depth_of_nesting_breaks_anything(depth: int) -> None:
    async with running(upstream_store=False) as one:
        nested = b"[" * depth + b"]" * depth
        body = b'{"model":"qwen3.7-plus","input":[{"role":"user","content":%b}]}' % nested
        assert (await create(one, body)).status_code in {400, 422}
        body = b'{"model":"qwen3.7-plus","input":"x","metadata":%b}' % nested
        assert (await create(one, body)).status_code in {200, 400, 422}


async def test_another_content_type_is_refused(service: Running) -> None:
    response = await create(service, asked(), **{"Content-Type": "text/plain"})
    assert response.status_code == 400
    assert error_of(response)["code"] == "malformed_body"


async def test_a_number_that_cannot_be_written_again_is_refused() -> None:
    body = b'{"model": "qwen3.7-plus", "input": "x", "temperature": 1e999}'
    async with running(upstream_store=False) as service:
        response = await create(service, body)
        assert response.status_code == 400
        assert error_of(response)["code"] == "malformed_body"


async def test_more_tools_may_be_allowed() -> None:
    body = asked(tools=[{"type": "image_search"}, {"type": "web_search"}])
    async with running(tools_allowed="image_search,web_search") as service:
        assert (await create(service, body)).status_code == 200


PATHS = [
    ("GET", "/v1/nowhere", 404, "not_found"),
    ("GET", "/v1/responses", 405, "method_not_allowed"),
    ("PUT", "/v1/responses/resp_1", 405, "method_not_allowed"),
    ("GET", "/v1/responses/resp_1", 404, "search_not_found"),
    ("DELETE", "/v1/responses/resp_1", 404, "search_not_found"),
    ("GET", "/v1/responses/resp_1/input_items", 404, "search_not_found"),
    ("GET", "/v1/responses/..%2f..%2fmodels", 404, "not_found"),
    ("GET", "/v1/responses/a%20b", 404, "search_not_found"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS)
async def test_every_failure_has_the_shape(
    service: Running, method: str, path: str, status: int, code: str
) -> None:
    response = await service.http.request(method, path)
    assert response.status_code == status
    assert error_of(response)["code"] == code


async def test_other_addresses_keep_their_own_shape(service: Running) -> None:
    for path in ("/nowhere", "/v1x", "/search/srch_1"):
        response = await service.http.get(path)
        assert response.headers["content-type"] == "application/problem+json"


async def test_who_asks_is_asked_first() -> None:
    ways = [("POST", "/v1/responses"), ("GET", "/v1/models"), ("GET", "/v1/responses/resp_1")]
    async with running(**GUARDED) as service:
        for method, path in ways:
            response = await service.http.request(method, path, content=b"no JSON")
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert error_of(response)["type"] == "authentication_error"
        foreign = await create(service, asked(), Origin=EVIL, **SHOP)
        assert foreign.status_code == 403
        assert error_of(foreign) | {"message": ""} == {
            "message": "",
            "type": "permission_error",
            "param": None,
            "code": "origin_not_allowed",
        }
        assert not service.record.total


async def test_a_page_with_a_browser_token_may_ask_and_read_the_headers() -> None:
    async with running(**GUARDED) as service:
        shown = bearer(token())
        response = await create(service, asked(), Origin=PAGE, **shown)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == PAGE
        exposed = response.headers["access-control-expose-headers"].lower()
        assert {"x-request-id", "retry-after", "x-should-retry"} <= set(exposed.split(", "))
        assert SECRET not in response.text


async def test_rate_and_retry_after_are_shown() -> None:
    async with running(rate_limit="1/minute") as service:
        assert (await create(service, asked())).headers["ratelimit"]
        response = await create(service, asked())
        assert response.status_code == 429
        assert error_of(response)["type"] == "rate_limit_error"
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["x-should-retry"] == "true"
        assert (await service.http.get("/v1/models")).status_code == 200


OWNERS = {"SHOP": SHOP, "BLOG": BLOG}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_belongs_to_the_client_that_got_it(*, stream: bool) -> None:
    async with running(**GUARDED) as service:
        answered = await create(service, asked(stream=stream), **SHOP)
        response_id = json.loads(answered.text.split("data: ")[-1] if stream else answered.text)
        response_id = (response_id.get("response") or response_id)["id"]
        path = f"/v1/responses/{response_id}"
        for tail in ("", "/input_items?limit=1&order=asc&other=x"):
            assert (await service.http.get(path + tail, headers=BLOG)).status_code == 404
            mine = await service.http.get(path + tail, headers=SHOP)
            assert mine.status_code == 200
            assert mine.headers["cache-control"] == "no-store"
        follow_up = asked("And now?", image=None, previous_response_id=response_id)
        theirs = await create(service, follow_up, **BLOG)
        assert theirs.status_code == 422
        assert error_of(theirs)["param"] == "previous_response_id"
        assert (await create(service, follow_up, **SHOP)).status_code == 200
        search = {"prompt": "And now?", "previous_response_id": response_id}
        assert (await service.http.post("/search", json=search, headers=BLOG)).status_code == 422
        assert (await service.http.post("/search", json=search, headers=SHOP)).status_code == 200
        assert (await service.http.delete(path, headers=BLOG)).status_code == 404
        deleted = await service.http.delete(path, headers=SHOP)
        assert deleted.json() == {"deleted": True, "id": response_id}
        gone = await service.http.get(path, headers=SHOP)
        assert gone.status_code == 404
        assert error_of(gone)["code"] == "search_not_found"


async def test_what_is_kept_comes_back_byte_for_byte() -> None:
    async with running() as service:
        made = (await create(service, asked())).json()
        for tail in ("", "/input_items?limit=1"):
            path = f"/responses/{made['id']}{tail}"
            ours = await service.http.get(f"/v1{path}")
            assert ours.content == (await directly_get(service, path)).content
