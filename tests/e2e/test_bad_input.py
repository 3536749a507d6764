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

MISSING = (422, "image_missing")
INVALID = (422, "invalid_request")
BAD_URL = (422, "image_url_invalid")
MODEL = (422, "model_not_allowed")
UNSUPPORTED = (415, "image_type_unsupported")
MALFORMED = (400, "malformed_body")
NAMELESS = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"

BAD_REQUESTS: dict[str, tuple[tuple[int, str], str, dict[str, Any]]] = {
    # status and code, what the problem mentions, the request
    "no image": (MISSING, "image_url", {"json": {"prompt": "x"}}),
    "an empty list": (MISSING, "image_url", {"json": {"image_url": []}}),
    "an image field in JSON": (INVALID, "image", {"json": {"image": URL}}),
    "a number for an image": (INVALID, "image_url", {"json": {"image_url": 5}}),
    "a URL as a file": (INVALID, "image_url", {"files": {"image_url": ("x.jpg", b"x")}}),
    "text as an image": (
        UNSUPPORTED,
        "text",
        {"files": {"image": ("x.jpg", b"I am no picture, whatever my name says.")}},
    ),
    "an empty file": (MISSING, "image", {"files": {"image": ("x.jpg", b"")}}),
    "no file chosen": (
        MISSING,
        "image",
        {"content": part('name="image"; filename=""', end="--b--"), "headers": FORM},
    ),
    "an unknown model": (MODEL, "qwen3.7-plus", {"json": {"image_url": URL, "model": "gpt-4o"}}),
    "an unknown field": (INVALID, '"n"', {"json": {"image_url": URL, "n": 1}}),
    "a field twice": (
        INVALID,
        "more than once",
        {"files": [("prompt", (None, "a")), ("prompt", (None, "b"))]},
    ),
    "a prompt too long": (INVALID, "8000", {"json": {"image_url": URL, "prompt": "x" * 8_001}}),
    "a half surrogate": (
        MALFORMED,
        "JSON",
        {"content": b'{"image_url": "x", "prompt": "\\ud800"}', "headers": JSON},
    ),
    "too few tokens": (
        INVALID,
        "max_output_tokens",
        {"json": {"image_url": URL, "max_output_tokens": 15}},
    ),
    "a number as text": (
        INVALID,
        "max_output_tokens",
        {"json": {"image_url": URL, "max_output_tokens": "16"}},
    ),
    "a response id of another kind": (
        INVALID,
        "previous_response_id",
        {"json": {"previous_response_id": "resp/../x"}},
    ),
    "too many images": (INVALID, "8", {"json": {"image_url": [URL] * 9}}),
    "broken JSON": (MALFORMED, "JSON", {"content": b'{"image_url": ', "headers": JSON}),
    "JSON that is no object": (MALFORMED, "object", {"json": [URL]}),
    "bytes that are no text": (
        MALFORMED,
        "JSON",
        {"content": b'{"prompt": "\xff"}', "headers": JSON},
    ),
    "no content type": (MALFORMED, "Content-Type", {"content": b"{}"}),
    "a urlencoded form": (MALFORMED, "Content-Type", {"data": {"image_url": URL}}),
    "multipart without boundary": (
        MALFORMED,
        "multipart",
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ),
    "multipart that is none": (MALFORMED, "multipart", {"content": b"hello", "headers": FORM}),
    "multipart cut short": (
        MALFORMED,
        "",
        {"content": part('name="image"; filename="x"', "abc"), "headers": FORM},
    ),
    "a part without a name": (MALFORMED, "multipart", {"content": NAMELESS, "headers": FORM}),
    "a form field that is no text": (
        MALFORMED,
        "UTF-8",
        {"files": {"prompt": (None, b"\xff\xfe")}},
    ),
    "too many parts": (INVALID, "prompt", {"files": [("prompt", (None, "x"))] * 80}),
    "an FTP URL": (BAD_URL, "http", {"json": {"image_url": "ftp://a.example/x"}}),
    "a file URL": (BAD_URL, "http", {"json": {"image_url": "file:///etc/passwd"}}),
    "a private address": (BAD_URL, "", {"json": {"image_url": "http://169.254.169.254/"}}),
    "a data URL that is no picture": (
        UNSUPPORTED,
        "text",
        {"json": {"image_url": "data:image/png;base64,aGVsbG8gd29ybGQ="}},
    ),
    "an idempotency key too long": (
        INVALID,
        "Idempotency-Key",
        {"json": {"image_url": URL}, "headers": {"Idempotency-Key": "x" * 256}},
    ),
}


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_bad_input_gets_a_clear_error(path: str) -> None:
    async with running() as service:
        for what, (expected, part, request) in BAD_REQUESTS.items():
            response = await service.http.post(path, **request)
            body = problem_of(response)
            assert (response.status_code, body["code"]) == expected, (what, body)
            assert part.lower() in response.text.lower(), (what, body)
            assert not body["retryable"]
        assert service.record.total == 0


async def test_input_is_never_echoed() -> None:
    async with running() as service:
        for *_, request in BAD_REQUESTS.values():
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
            {"Accept": "text/event-stream", "X-Moz": "prefetch"},
        ):
            response = await service.http.get(
                "/search/stream", params={"image_url": URL}, headers=headers
            )
            assert problem_of(response)["code"] == "not_acceptable"
        assert service.record.total == 0
