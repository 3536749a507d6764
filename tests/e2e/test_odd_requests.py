"""Requests that are too large, broken or unfinished cost little, and harm nobody else."""

from itertools import product
from typing import Any

import pytest

from tests.e2e.asking import ASKED, IMAGE_URL
from tests.e2e.callers import GUARDED, SHOP
from tests.service import Running, running
from tests.wire import dial, request

HEAD_MAX_BYTES = 65_536
"""Of the address and the headers together."""
ANSWER_MAX_BYTES = 4_096
LONG, MANY = {"X": "a" * HEAD_MAX_BYTES}, {f"X{n}": "y" * 70 for n in range(1_000)}


async def still_serves(service: Running) -> None:
    assert (await service.http.post("/search", json=ASKED)).status_code == 200


async def test_a_head_that_is_too_large_is_refused(service: Running) -> None:
    paths = ("/readyz", "/search/srch_x", "/v1/responses")
    for path, headers in product(paths, (LONG, MANY)):
        async with dial(service.url) as wire:
            wire.send(request("POST", path, headers=headers, body={}))
            status, got, problem = await wire.body()
        assert (status, problem.get("error", problem)["code"]) == (431, "head_too_large")
        assert got["x-request-id"] == problem.get("request_id", got["x-request-id"])
        kind, again = ("json", "false") if path.startswith("/v1") else ("problem+json", None)
        assert (got["content-type"], got.get("x-should-retry")) == (f"application/{kind}", again)
    await still_serves(service)


CHUNKS = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKS += b"Transfer-Encoding: chunked\r\n\r\n5\r\n{   \n\r\nno size\r\n"
UNREADABLE: dict[str, bytes] = {
    "nonsense": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"POST /search HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "broken chunks": CHUNKS,
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_gets_a_400_and_nothing_behind_it_is_served(
    what: str, service: Running
) -> None:
    calls = service.record.total
    async with dial(service.url) as wire:
        wire.send(UNREADABLE[what] + request("POST", "/search", body=ASKED | {"prompt": what}))
        assert (await wire.all()).startswith(b"HTTP/1.1 400 ")
    assert service.record.total == calls
    await still_serves(service)


WISH = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}
SOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize("http", [None, "httptools"], ids=["as shipped", "plain uvicorn"])
@pytest.mark.parametrize("wish", [WISH, SOCKET], ids=["h2c", "websocket"])
async def test_a_body_behind_an_upgrade_header_is_refused(
    wish: dict[str, str], http: str | None
) -> None:
    """Never read as if it were empty. Java's HttpClient and `curl --http2` send one over http."""
    async with running(**GUARDED, http=http) as service:
        bodies: dict[str, dict[str, Any]] = {"/search": ASKED, "/tokens": {"ttl_s": 60}}
        for path, body in bodies.items():
            async with dial(service.url) as wire:
                wire.send(request("POST", path, headers=wish | SHOP, body=body))
                status, _, problem = await wire.body()
                assert (status, problem["code"]) == (400, "malformed_request")
                assert "--http1.1" in problem["detail"]
        async with dial(service.url) as wire:
            wire.send(request("GET", "/readyz", headers=WISH))
            assert (await wire.head()).status == 200


async def test_much_that_is_wrong_is_reported_in_few_words(service: Running) -> None:
    unknown = dict.fromkeys(map(str, range(10_000)))
    for body in ({"image_url": [0] * 300_000}, unknown, {"x" * 100_000: 0}):
        response = await service.http.post("/search", json=body)
        problem = response.json()
        assert (response.status_code, problem["code"]) == (422, "invalid_request")
        assert len(problem.get("errors", [])) <= 20
        assert len(response.content) < ANSWER_MAX_BYTES


FIELDS = ("prompt", "model", "instructions", "thinking", "max_output_tokens")
FILLED_IN = {"image_url": IMAGE_URL} | dict.fromkeys((*FIELDS, "previous_response_id"), "")


async def test_fields_that_nobody_filled_in_and_nulls_are_not_there(service: Running) -> None:
    form = [(name, (None, value)) for name, value in FILLED_IN.items()]
    nulls = dict.fromkeys(FILLED_IN) | {"image_url": IMAGE_URL}
    for answer in (
        await service.http.post("/search", files=form),
        (await service.stream("GET", params=FILLED_IN))[0],
        await service.http.post("/search", json=nulls),
    ):
        assert answer.status_code == 200, answer.text
    for empty in ({"files": {"image_url": (None, "")}}, {"json": {"image_url": None}}):
        missing = await service.http.post("/search", **empty)
        assert (missing.status_code, missing.json()["code"]) == (422, "image_missing")
