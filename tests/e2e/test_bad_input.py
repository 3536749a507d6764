"""Bad input gets the contract's error, at once, and the upstream is not asked."""

from typing import Any

import pytest

from tests.e2e.asking import IMAGE_URL as URL
from tests.service import running

FORM = {"Content-Type": "multipart/form-data; boundary=b"}

MISSING = (422, "image_missing")
INVALID = (422, "invalid_request")
BAD_URL = (422, "image_url_invalid")
MODEL = (422, "model_not_allowed")
MALFORMED = (400, "malformed_body")
UNCHOSEN = b'--b\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n\r\n--b--'
NAMELESS = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"


def body(**fields: Any) -> dict[str, Any]:
    return {"json": {"image_url": URL} | fields}


def in_json(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": {"Content-Type": "application/json"}}


def in_form(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": FORM}


NO_BOUNDARY = {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}
TWICE = {"files": [("prompt", (None, "a")), ("prompt", (None, "b"))]}
BAD_REQUESTS: list[tuple[tuple[int, str], str, dict[str, Any]]] = [
    # status and code, what the problem mentions, the request
    (MISSING, "image_url", {"json": {"prompt": "x"}}),
    (INVALID, "image", {"json": {"image": URL}}),
    (INVALID, "image_url", body(image_url=5)),
    (MISSING, "image", in_form(UNCHOSEN)),
    (MODEL, "qwen3.7-plus", body(model="gpt-4o")),
    (INVALID, '"n"', body(n=1)),
    (INVALID, "more than once", TWICE),
    (INVALID, "100 fields", {"json": {f"f{number}": 1 for number in range(101)}}),
    (INVALID, "8000", body(prompt="x" * 8_001)),
    (MALFORMED, "JSON", in_json(b'{"image_url": "x", "prompt": "\\ud800"}')),
    (INVALID, "previous_response_id", body(previous_response_id="resp/../x")),
    (INVALID, "8", body(image_url=[URL] * 9)),
    (MALFORMED, "JSON", in_json(b'{"image_url": ')),
    (MALFORMED, "object", {"json": [URL]}),
    (MALFORMED, "JSON", in_json(b'{"prompt": "\xff"}')),
    (MALFORMED, "Content-Type", {"content": b"{}"}),
    (MALFORMED, "multipart", NO_BOUNDARY),
    (MALFORMED, "multipart", in_form(NAMELESS)),
    (MALFORMED, "UTF-8", {"files": {"prompt": (None, b"\xff\xfe")}}),
    (INVALID, "prompt", {"files": [("prompt", (None, "x"))] * 80}),
    (BAD_URL, "http", body(image_url="file:///etc/passwd")),
    (BAD_URL, "", body(image_url="http://169.254.169.254/")),
    (INVALID, "Idempotency-Key", body() | {"headers": {"Idempotency-Key": "x" * 256}}),
]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_bad_input_gets_a_clear_error_that_does_not_echo_it(path: str) -> None:
    async with running() as service:
        for expected, mentioned, request in BAD_REQUESTS:
            response = await service.http.post(path, **request)
            problem = response.json()
            assert (response.status_code, problem["code"]) == expected, request
            assert mentioned.lower() in response.text.lower(), request
            assert not problem["retryable"]
            for echo in ("gpt-4o", "passwd", "169.254"):
                assert echo not in response.text
        query = {"image_url": URL} | {f"f{number}": "" for number in range(100)}
        accept = {"Accept": "text/event-stream"}
        response = await service.http.get("/search/stream", params=query, headers=accept)
        assert (response.status_code, response.json()["code"]) == INVALID
        assert "100 fields" in response.text
        assert service.record.total == 0


async def test_a_get_stream_wants_an_event_source() -> None:
    prefetch = {"Accept": "text/event-stream", "Sec-Purpose": "prefetch;prerender"}
    async with running() as service:
        for headers in ({"Accept": "text/html"}, prefetch):
            params = {"image_url": URL}
            response = await service.http.get("/search/stream", params=params, headers=headers)
            assert response.json()["code"] == "not_acceptable"
        assert service.record.total == 0
