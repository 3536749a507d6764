"""What `/v1` refuses, in OpenAI's shape, before the upstream hears of it."""

import json
from typing import Any

import pytest

from tests.e2e.callers import BLOG, EVIL, GUARDED, PAGE, SECRET, SHOP, bearer, token
from tests.e2e.v1 import IMAGE_URL, asked, create, error_of
from tests.service import Running, running


def parts(*more: dict[str, Any]) -> dict[str, Any]:
    """A question with such parts."""
    content = [{"type": "input_text", "text": "What is it?"}, *more]
    return asked(input=[{"role": "user", "content": content}])


PDF = "https://files.example/x.pdf"
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # the body, the code, the field
    "no model": (asked(model=None), "invalid_request", "model"),
    "a number for a model": (asked(model=5), "invalid_request", "model"),
    "an unknown model": (asked(model="gpt-4"), "model_not_allowed", ""),
    "no input": (asked(input=None), "invalid_request", "input"),
    "an object for an input": (asked(input={"role": "user"}), "invalid_request", "input"),
    "a word for stream": (asked(stream="true"), "invalid_request", "stream"),
    "a conversation": (asked(conversation="conv_1"), "invalid_request", "conversation"),
    "a conversation object": (
        asked(conversation={"id": "conv_1"}),
        "invalid_request",
        "conversation",
    ),
    "web search": (asked(tools=[{"type": "web_search"}]), "invalid_request", "tools"),
    "a second tool": (
        asked(tools=[{"type": "image_search"}, {"type": "code_interpreter"}]),
        "invalid_request",
        "tools",
    ),
    "an mcp server": (
        asked(tools=[{"type": "mcp", "server_url": "https://mcp.example"}]),
        "invalid_request",
        "tools",
    ),
    "a function": (
        asked(tools=[{"type": "function", "name": "f", "parameters": {}}]),
        "invalid_request",
        "tools",
    ),
    "tools that are none": (asked(tools={"type": "image_search"}), "invalid_request", "tools"),
    "a tool without a type": (asked(tools=[{}]), "invalid_request", "tools"),
    "a file by address": (
        parts({"type": "input_file", "file_url": PDF}),
        "invalid_request",
        "input[0].content[1].type",
    ),
    "a file by id": (
        parts({"type": "input_image", "file_id": "file-1"}),
        "invalid_request",
        "input[0].content[1].file_id",
    ),
    "a file in the body": (
        parts({"type": "input_file", "file_data": "data:application/pdf;base64,AA"}),
        "invalid_request",
        "input[0].content[1].type",
    ),
    "audio": (
        parts({"type": "input_audio", "input_audio": {"data": "AA"}}),
        "invalid_request",
        "input[0].content[1].type",
    ),
    "video": (
        parts({"type": "video_url", "video_url": {"url": PDF}}),
        "invalid_request",
        "input[0].content[1].type",
    ),
    "a video in an image part": (
        parts({"type": "input_image", "image_url": IMAGE_URL, "video": [PDF]}),
        "invalid_request",
        "input[0].content[1].video",
    ),
    "a part of no kind": (
        parts({"image": IMAGE_URL}),
        "invalid_request",
        "input[0].content[1].type",
    ),
    "a file as what a function gave": (
        asked(
            input=[
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_file", "file_url": PDF}],
                }
            ]
        ),
        "invalid_request",
        "input[0].output[0].file_url",
    ),
    "a file in a prompt's variables": (
        asked()
        | {"prompt": {"id": "p_1", "variables": {"x": {"type": "input_file", "file_id": "f"}}}},
        "invalid_request",
        "prompt.variables.x.file_id",
    ),
    "a reference": (
        asked(input=[{"type": "item_reference", "id": "msg_1"}]),
        "invalid_request",
        "input[0]",
    ),
    "a reference without its name": (asked(input=[{"id": "msg_1"}]), "invalid_request", "input[0]"),
    "an item that is none": (asked(input=["Hello"]), "invalid_request", "input[0]"),
    "an image of the house": (
        asked(image="http://192.168.0.1/x.jpg"),
        "image_url_invalid",
        "",
    ),
    "a local image": (asked(image="file:///etc/passwd"), "image_url_invalid", ""),
    "an image in their storage": (asked(image="oss://bucket/x.jpg"), "image_url_invalid", ""),
    "an image in an object, of the house": (
        asked(image={"url": "http://localhost/x.jpg"}),
        "image_url_invalid",
        "",
    ),
    "an image by address and id": (
        asked(image={"url": IMAGE_URL, "file_id": "f"}),
        "invalid_request",
        "input[0].content[1].image_url",
    ),
    "an image that is a number": (
        asked(image=5),
        "invalid_request",
        "input[0].content[1].image_url",
    ),
    "an image hidden in other words": (
        asked(instructions=[{"content": [{"type": "input_image", "image_url": "http://a/x"}]}]),
        "image_url_invalid",
        "",
    ),
    "text as an image": (
        asked(image="data:image/png;base64,SGVsbG8sIEkgYW0gbm8gcGljdHVyZS4="),
        "image_type_unsupported",
        "",
    ),
    "too many images": (
        parts(*[{"type": "input_image", "image_url": IMAGE_URL}] * 9),
        "invalid_request",
        "input",
    ),
    "an answer of nobody's": (
        asked(previous_response_id="resp_1"),
        "invalid_request",
        "previous_response_id",
    ),
    "an answer without a name": (
        asked(previous_response_id=5),
        "invalid_request",
        "previous_response_id",
    ),
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
        assert error["param"] == (field or None)
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
    "nested without end": b'{"model":"qwen3.7-plus","input":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_body_that_two_could_read_differently_is_none(service: Running, body: str) -> None:
    response = await create(service, MALFORMED[body])
    assert response.status_code == 400
    assert error_of(response)["code"] == "malformed_body"


async def test_no_depth_of_nesting_breaks_anything() -> None:
    """Where the parser's depth ends depends on how deep the server is in its own calls."""
    async with running(upstream_store=False) as one:
        for depth in range(860, 1_010, 10):
            nested = b"[" * depth + b"]" * depth
            body = b'{"model":"qwen3.7-plus","input":[{"role":"user","content":%b}]}' % nested
            assert (await create(one, body)).status_code in {400, 422}, depth
            body = b'{"model":"qwen3.7-plus","input":"x","metadata":%b}' % nested
            assert (await create(one, body)).status_code in {200, 400}, depth


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
    ("GET", "/v1", 404, "not_found"),
    ("GET", "/v1/responses", 405, "method_not_allowed"),
    ("PUT", "/v1/responses/resp_1", 405, "method_not_allowed"),
    ("GET", "/v1/responses/resp_1", 404, "search_not_found"),
    ("DELETE", "/v1/responses/resp_1", 404, "search_not_found"),
    ("GET", "/v1/responses/resp_1/input_items", 404, "search_not_found"),
    ("GET", "/v1/responses/..%2f..%2fmodels", 404, "not_found"),
    ("GET", "/v1/responses/a%20b", 404, "search_not_found"),
    ("GET", "/v1/responses/resp_1?stream=true", 422, "invalid_request"),
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


async def test_a_bug_is_told_in_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as service:
        monkeypatch.setattr(service.service.responses.runs, "open", None)
        response = await create(service, asked())
        assert response.status_code == 500
        assert error_of(response) | {"message": ""} == {
            "message": "",
            "type": "server_error",
            "param": None,
            "code": "internal",
        }
        assert response.headers["x-should-retry"] == "false"


async def test_rate_and_retry_after_are_told() -> None:
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
        path = f"/responses/{made['id']}"
        key = service.service.settings.dashscope_api_key.get_secret_value()
        upstream = service.service.settings.base_url
        for tail in ("", "/input_items?limit=1"):
            ours = await service.http.get(f"/v1{path}{tail}")
            theirs = await service.http.get(f"{upstream}{path}{tail}", headers=bearer(key))
            assert ours.content == theirs.content
