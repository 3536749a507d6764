"""Bad input gets the contract's error, at once, and the upstream is not asked."""

from typing import Any

import httpx
import pytest

from tests.e2e.asking import IMAGE_URL as URL
from tests.service import running


def part(disposition: str, content: str = "", end: str = "") -> bytes:
    """One part of a multipart body with the boundary `b`."""
    head = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return f"{head}{content}\r\n{end}".encode()


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:imagesearch:{body['code']}"
    assert body["request_id"] == response.headers["x-request-id"]
    return body


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}

BAD_REQUESTS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "no image": ({"json": {"prompt": "x"}}, 422, "image_missing", "image_url"),
    "an empty list": ({"json": {"image_url": []}}, 422, "image_missing", "image_url"),
    "an image field in JSON": ({"json": {"image": URL}}, 422, "invalid_request", "image"),
    "a number for an image": ({"json": {"image_url": 5}}, 422, "invalid_request", "image_url"),
    "an image as text in a form": (
        {"files": {"image": (None, URL)}},
        422,
        "invalid_request",
        "must be a file",
    ),
    "a URL as a file": (
        {"files": {"image_url": ("x.jpg", b"x")}},
        422,
        "invalid_request",
        "image_url",
    ),
    "text as an image": (
        {"files": {"image": ("x.jpg", b"I am no picture, whatever my name says.")}},
        415,
        "image_type_unsupported",
        "text",
    ),
    "an empty file": ({"files": {"image": ("x.jpg", b"")}}, 422, "image_missing", "empty"),
    "no file chosen": (
        {
            "content": part('name="image"; filename=""', end="--b--"),
            "headers": FORM,
        },
        422,
        "image_missing",
        "image",
    ),
    "an unknown model": (
        {"json": {"image_url": URL, "model": "gpt-4o"}},
        422,
        "model_not_allowed",
        "qwen3.7-plus",
    ),
    "an unknown field": ({"json": {"image_url": URL, "n": 1}}, 422, "invalid_request", '"n"'),
    "a field twice": (
        {"files": [("prompt", (None, "a")), ("prompt", (None, "b")), ("image_url", (None, URL))]},
        422,
        "invalid_request",
        "more than once",
    ),
    "a prompt too long": (
        {"json": {"image_url": URL, "prompt": "x" * 8_001}},
        422,
        "invalid_request",
        "8000",
    ),
    "a half surrogate": (
        {"content": b'{"image_url": "x", "prompt": "\\ud800"}', "headers": JSON},
        422,
        "invalid_request",
        "prompt",
    ),
    "too few tokens": (
        {"json": {"image_url": URL, "max_output_tokens": 15}},
        422,
        "invalid_request",
        "max_output_tokens",
    ),
    "a number as text": (
        {"json": {"image_url": URL, "max_output_tokens": "16"}},
        422,
        "invalid_request",
        "max_output_tokens",
    ),
    "a response id of another kind": (
        {"json": {"previous_response_id": "resp/../x"}},
        422,
        "invalid_request",
        "previous_response_id",
    ),
    "too many images": (
        {"json": {"image_url": [URL] * 9}},
        422,
        "invalid_request",
        "8",
    ),
    "broken JSON": ({"content": b'{"image_url": ', "headers": JSON}, 400, "malformed_body", "JSON"),
    "JSON in depth": ({"content": b"[" * 100_000, "headers": JSON}, 400, "malformed_body", "JSON"),
    "JSON that is no object": ({"json": [URL]}, 400, "malformed_body", "object"),
    "bytes that are no text": (
        {"content": b'{"prompt": "\xff"}', "headers": JSON},
        400,
        "malformed_body",
        "JSON",
    ),
    "no content type": ({"content": b"{}"}, 400, "malformed_body", "Content-Type"),
    "a urlencoded form": ({"data": {"image_url": URL}}, 400, "malformed_body", "Content-Type"),
    "multipart without boundary": (
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "malformed_body",
        "boundary",
    ),
    "multipart with a boundary that is none": (
        {
            "content": b"x",
            "headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 500}"},
        },
        400,
        "malformed_body",
        "boundary",
    ),
    "multipart that is none": (
        {"content": b"hello", "headers": FORM},
        400,
        "malformed_body",
        "multipart",
    ),
    "multipart cut short": (
        {
            "content": part('name="image"; filename="x"', "abc"),
            "headers": FORM,
        },
        400,
        "malformed_body",
        "closing boundary",
    ),
    "a part without a name": (
        {"content": b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", "headers": FORM},
        400,
        "malformed_body",
        "no name",
    ),
    "a form field that is no text": (
        {"files": {"prompt": (None, b"\xff\xfe")}},
        400,
        "malformed_body",
        "UTF-8",
    ),
    "too many parts": (
        {"files": [("prompt", (None, "x"))] * 80},
        422,
        "invalid_request",
        "parts",
    ),
    "an FTP URL": ({"json": {"image_url": "ftp://a.example/x"}}, 422, "image_url_invalid", "http"),
    "a file URL": ({"json": {"image_url": "file:///etc/passwd"}}, 422, "image_url_invalid", "http"),
    "a private address": (
        {"json": {"image_url": "http://169.254.169.254/"}},
        422,
        "image_url_invalid",
        "",
    ),
    "a data URL that is no picture": (
        {"json": {"image_url": "data:image/png;base64,aGVsbG8gd29ybGQ="}},
        415,
        "image_type_unsupported",
        "text",
    ),
    "an idempotency key too long": (
        {"json": {"image_url": URL}, "headers": {"Idempotency-Key": "x" * 256}},
        422,
        "invalid_request",
        "Idempotency-Key",
    ),
}


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_bad_input_gets_a_clear_error(path: str) -> None:
    async with running() as service:
        for what, (request, status, code, part) in BAD_REQUESTS.items():
            response = await service.http.post(path, **request)
            body = problem_of(response)
            assert (response.status_code, body["code"]) == (status, code), (what, body)
            assert part.lower() in response.text.lower(), (what, body)
            assert not body["retryable"]
        assert service.record.total == 0


async def test_input_is_never_echoed() -> None:
    async with running() as service:
        for request, *_ in BAD_REQUESTS.values():
            response = await service.http.post("/search", **request)
            for part in ("gpt-4o", "passwd", "169.254", "aGVsbG8", "no picture"):
                assert part not in response.text


async def test_followups_are_refused_where_the_upstream_keeps_nothing() -> None:
    async with running(upstream_store=False) as service:
        response = await service.http.post("/search", json={"previous_response_id": "resp_x"})
        assert problem_of(response)["errors"][0]["field"] == "previous_response_id"
        await service.http.post("/search", json={"image_url": URL})
        assert service.record.total == 1


async def test_a_get_stream_wants_an_event_source() -> None:
    async with running() as service:
        for headers in (
            {"Accept": "*/*"},
            {"Accept": "text/html"},
            {"Accept": "text/event-stream", "Sec-Purpose": "prefetch;prerender"},
            {"Accept": "text/event-stream", "Purpose": "prefetch"},
        ):
            response = await service.http.get(
                "/search/stream", params={"image_url": URL}, headers=headers
            )
            assert problem_of(response)["code"] == "not_acceptable"
        assert service.record.total == 0
