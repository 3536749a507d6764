"""What `/v1` refuses, in OpenAI's shape, before the upstream hears of it."""

import json
from typing import Any

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.callers import BLOG, EVIL, SHOP
from tests.e2e.v1 import asked, create, directly_get, error_of
from tests.service import Running, running


def parts(*more: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "input_text", "text": "What is it?"}, *more]
    return asked(input=[{"role": "user", "content": content}])


PDF = "https://files.example/x.pdf"
INVALID = "invalid_request"
PRIVATE = "http://192.168.0.1/x.jpg"
TEXT = "data:image/png;base64,SGVsbG8sIEkgYW0gbm8gcGljdHVyZS4="
LONG = "data:" + "x" * 1_048_576
STATUSES = {"image_type_unsupported": 415, "image_too_large": 413}
IMAGE_PART = {"type": "input_image", "image_url": IMAGE_URL}
FUNCTION_OUTPUT = {
    "type": "function_call_output",
    "call_id": "c",
    "output": [{"type": "input_file", "file_url": PDF}],
}
BY_MEMBER: dict[str, list[dict[str, Any]]] = {
    # the member that is named, and the bodies
    "model": [asked(model=None)],
    "stream": [asked(stream="true")],
    "conversation": [asked(conversation="c"), asked(conversation={"id": "c"})],
    "previous_response_id": [asked(previous_response_id=one) for one in ("resp_1", 5)],
    "tools": [
        asked(tools=[{"type": "web_search"}]),
        asked(tools=[{"type": "image_search"}, {"type": "code_interpreter"}]),
        asked(tools=[{"type": "mcp", "server_url": PDF}]),
        asked(tools=[{"type": "function", "name": "f"}]),
        asked(tools=[{}]),
    ],
    "input": [
        asked(input=None),
        parts({"type": "input_file", "file_url": PDF}),
        parts({"type": "input_image", "file_id": "file-1"}),
        parts({"type": "input_audio", "input_audio": {"data": "AA"}}),
        parts(IMAGE_PART | {"video": [PDF]}),
        parts({"image": IMAGE_URL}),
        asked(input=[FUNCTION_OUTPUT]),
        asked(input=[{"type": "item_reference", "id": "msg_1"}]),
        asked(input=["Hello"]),
        asked(input={"role": "user", "content": "Hello"}),
        asked(image={"url": IMAGE_URL, "detail": {"anything": PDF}}),
        asked(image={"url": IMAGE_URL, "file_id": "f"}),
        parts(*[IMAGE_PART] * 9),
    ],
}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # the body, the code, and the member that is named
    *((body, INVALID, member) for member, bodies in BY_MEMBER.items() for body in bodies),
    (asked(model="gpt-4"), "model_not_allowed", ""),
    (asked(image=PRIVATE), "image_url_invalid", ""),
    (asked(image="file:///etc/passwd"), "image_url_invalid", ""),
    (asked(image={"url": "http://localhost/x.jpg"}), "image_url_invalid", ""),
    (asked(image=TEXT), "image_type_unsupported", ""),
    (asked(LONG), "image_too_large", ""),
    (asked(image={"url": IMAGE_URL, "detail": LONG}), "image_too_large", ""),
    (asked(metadata={"x": LONG}), "image_too_large", ""),
    (asked(text={"format": {"schema": [LONG]}}), "image_too_large", ""),
    (asked(tools=[{"type": "image_search", "parameters": LONG}]), "image_too_large", ""),
]


async def test_a_request_is_refused(service: Running) -> None:
    calls = service.record.total
    for body, code, field in REFUSED:
        for stream in (False, True):
            response = await create(service, {"stream": stream} | body)
            error = error_of(response)
            assert (error["code"], error["type"]) == (code, "invalid_request_error"), body
            assert (error["param"] or "").startswith(field), body
            assert response.status_code == STATUSES.get(code, 422)
            assert response.headers["x-should-retry"] == "false"
            assert "\n" not in error["message"]
    assert service.record.total == calls


def question(more: bytes = b'"x"') -> bytes:
    return b'{"model": "qwen3.7-plus", "input": %b}' % more


MALFORMED: dict[str, bytes] = {
    "no JSON": b"model=qwen3.7-plus",
    "no object": b"[]",
    "not a number": question(b'"x", "temperature": NaN'),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + question(),
    "half a character": question(b'"\xe4\xbd"'),
    "nothing": b"",
}


async def test_a_body_that_is_no_json_object_is_refused(service: Running) -> None:
    for what, body in MALFORMED.items():
        response = await create(service, body)
        assert (response.status_code, error_of(response)["code"]) == (400, "malformed_body"), what
    response = await create(service, asked(), **{"Content-Type": "text/plain"})
    assert (response.status_code, error_of(response)["code"]) == (400, "malformed_body")


async def test_no_depth_of_nesting_breaks_anything() -> None:
    async with running(upstream_store=False) as one:
        for depth in (400, 930, 1_000, 100_000):
            nested = b"[" * depth + b"]" * depth
            body = question(b'[{"role":"user","content":%b}]' % nested)
            refused = await create(one, body)
            assert refused.status_code in {400, 422}
            assert len(refused.content) < 4_096
            body = question(b'"x","metadata":%b' % nested)
            assert (await create(one, body)).status_code in {200, 400, 422}
        assert (await create(one, question(b'"x", "temperature": 1e999'))).status_code == 400


PATHS = [
    ("GET", "/v1/nowhere", 404, "not_found"),
    ("PUT", "/v1/responses/resp_1", 405, "method_not_allowed"),
    ("GET", "/v1/responses/..%2f..%2fmodels", 404, "not_found"),
]


async def test_every_failure_has_the_shape(service: Running) -> None:
    for method, path, status, code in PATHS:
        response = await service.http.request(method, path)
        assert (response.status_code, error_of(response)["code"]) == (status, code), path


async def test_who_asks_is_asked_first(guarded: Running) -> None:
    ways = [("POST", "/v1/responses"), ("GET", "/v1/models"), ("GET", "/v1/responses/resp_1")]
    for method, path in ways:
        response = await guarded.http.request(method, path, content=b"no JSON")
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert error_of(response)["type"] == "authentication_error"
    foreign = await create(guarded, asked(), Origin=EVIL, **SHOP)
    error = error_of(foreign)
    assert (foreign.status_code, error["type"]) == (403, "permission_error")
    assert error["code"] == "origin_not_allowed"
    assert not guarded.record.total


async def test_more_tools_may_be_allowed_and_rate_and_retry_after_are_shown() -> None:
    body = asked(tools=[{"type": "image_search"}, {"type": "web_search"}])
    async with running(rate_limit="1/minute", tools_allowed="image_search,web_search") as service:
        allowed = await create(service, body)
        assert (allowed.status_code, bool(allowed.headers["ratelimit"])) == (200, True)
        response = await create(service, asked())
        assert (response.status_code, error_of(response)["type"]) == (429, "rate_limit_error")
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["x-should-retry"] == "true"
        assert (await service.http.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_belongs_to_the_client_that_got_it(
    guarded: Running, *, stream: bool
) -> None:
    answered = await create(guarded, asked(stream=stream), **SHOP)
    made = json.loads(answered.text.split("data: ")[-1] if stream else answered.text)
    response_id = (made.get("response") or made)["id"]
    path = f"/v1/responses/{response_id}"
    for tail in ("", "/input_items?limit=1&order=asc&other=x"):
        assert (await guarded.http.get(path + tail, headers=BLOG)).status_code == 404
        mine = await guarded.http.get(path + tail, headers=SHOP)
        assert (mine.status_code, mine.headers["cache-control"]) == (200, "no-store")
        kept = await directly_get(guarded, path.removeprefix("/v1") + tail)
        assert mine.content == kept.content
    follow_up = asked("And now?", image=None, previous_response_id=response_id)
    theirs = await create(guarded, follow_up, **BLOG)
    assert (theirs.status_code, error_of(theirs)["param"]) == (422, "previous_response_id")
    assert (await create(guarded, follow_up, **SHOP)).status_code == 200
    assert (await guarded.http.delete(path, headers=BLOG)).status_code == 404
    deleted = await guarded.http.delete(path, headers=SHOP)
    assert deleted.json() == {"deleted": True, "id": response_id}
    gone = await guarded.http.get(path, headers=SHOP)
    assert (gone.status_code, error_of(gone)["code"]) == (404, "search_not_found")
