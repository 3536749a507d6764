"""What cannot be read is refused as all else is: a problem with an id, logged and counted."""

import asyncio
import json
import logging
from typing import Any

import pytest

from app.protocol import HEAD_MAX_BYTES
from simulator.pictures import PICTURES
from tests.clock import until
from tests.e2e.callers import EVIL, GUARDED, PAGE
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, request

GUARD_S = 60
ASKED = {"image_url": GALLERY_URL + PICTURES[7].name}
CHUNKED = (
    b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"X-Request-ID: mine-1\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LONG = b"a" * HEAD_MAX_BYTES

READABLE_SO_FAR: dict[str, tuple[bytes, int, str, str]] = {
    # What came, and the status, method and path that it is logged with
    "nonsense": (b"nonsense\r\n\r\n", 400, "-", "/"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "-", "/"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "PRI", "/"),
    "a tunnel": (b"CONNECT a.example:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "CONNECT", "/"),
    "a broken header": (
        b"GET /search/x?a=b HTTP/1.1\r\nno header\r\n\r\n",
        400,
        "GET",
        "/search/x",
    ),
    "two lengths": (
        b"POST /search HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "POST",
        "/search",
    ),
    "a long address": (b"GET /search/stream?access_token=" + LONG, 431, "GET", "/search/stream"),
    "a long header": (b"DELETE /search/x HTTP/1.1\r\nX: " + LONG, 431, "DELETE", "/search/x"),
    "empty lines": (b"\r\n" * HEAD_MAX_BYTES, 431, "-", "/"),
    "control characters": (b"GET /\x01\xff" + LONG, 400, "-", "/"),
}
CODES = {400: "malformed_body", 431: "head_too_large"}


async def answer(wire: Wire) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers = await wire.head()
    body = json.loads(await wire.reader.readexactly(int(headers["content-length"])))
    return status, headers, body


def counted(service: Running, code: str) -> float | None:
    name = "imagesearch_rejected_total"
    return service.service.metrics.registry.get_sample_value(name, {"code": code})


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = (line for line in caplog.records if line.name == "app.access")
    return [line.__dict__["fields"] for line in lines]


@pytest.mark.parametrize("served", [0, 1], ids=["at once", "behind an answer"])
@pytest.mark.parametrize("what", READABLE_SO_FAR)
async def test_what_cannot_be_read_is_told_logged_and_counted(
    what: str, served: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.access")
    sent, status, method, path = READABLE_SO_FAR[what]
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        for _ in range(served):
            wire.send(request("GET", "/v1/models"))
            await answer(wire)
        wire.send(sent)
        told, headers, problem = await answer(wire)
        assert (told, headers["connection"]) == (status, "close")
        assert headers["content-type"] == "application/problem+json"
        assert (problem["status"], problem["code"]) == (status, CODES[status])
        assert problem["request_id"] == headers["x-request-id"]
        await until(lambda: counted(service, CODES[status]) == 1)
    line = logged(caplog)[-1]
    assert (line["status"], line["code"]) == (status, CODES[status])
    assert (line["method"], line["path"]) == (method, path)
    assert line["client_address"] == "127.0.0.1"
    assert len(logged(caplog)) == served + 1


async def test_it_keeps_its_id_and_pages_that_may_search_may_read_it() -> None:
    head = f"GET / HTTP/1.1\r\nX-Request-ID: mine-1\r\nOrigin: {PAGE}\r\nX: ".encode()
    async with asyncio.timeout(GUARD_S), running(**GUARDED) as service:
        async with dial(service.url) as wire:
            wire.send(head + LONG)
            _, headers, problem = await answer(wire)
            assert problem["request_id"] == headers["x-request-id"] == "mine-1"
            assert headers["access-control-allow-origin"] == PAGE
        async with dial(service.url) as wire:
            wire.send(head.replace(PAGE.encode(), EVIL.encode()) + LONG)
            assert "access-control-allow-origin" not in (await answer(wire))[1]


async def test_on_v1_it_is_told_as_openai_s_clients_read_it() -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(b"POST /v1/responses HTTP/1.1\r\nX: " + LONG)
        status, headers, told = await answer(wire)
        assert (status, told["error"]["code"]) == (431, "head_too_large")
        assert headers["x-should-retry"] == "false"


async def test_nothing_more_is_read_of_it() -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(b"nonsense\r\n\r\n" + request("POST", "/search", body=ASKED))
        assert (await answer(wire))[0] == 400
        assert await wire.reader.read() == b""
        assert service.record.total == 0


async def test_a_body_that_breaks_its_chunks_is_refused_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app.access")
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(CHUNKED + b"5\r\n{   \n\r\n")
        await until(lambda: service.service.intake.memory.used_bytes == 5)
        wire.send(b"no size\r\n")
        status, headers, problem = await answer(wire)
        assert (status, problem["code"]) == (400, "malformed_body")
        assert problem["request_id"] == headers["x-request-id"] == "mine-1"
        assert await wire.reader.read() == b""
        assert service.service.intake.memory.used_bytes == 0
        assert counted(service, "malformed_body") == 1
    assert sorted(line["status"] for line in logged(caplog)) == [400, 499]


async def test_a_body_that_breaks_behind_its_refusal_ends_the_connection_without_a_word() -> None:
    async with asyncio.timeout(GUARD_S), running(**GUARDED) as service, dial(service.url) as wire:
        wire.send(CHUNKED)
        assert (await answer(wire))[0] == 401
        wire.send(b"no size\r\n")
        assert await wire.reader.read() == b""


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_nonsense_behind_a_running_request_ends_the_connection_without_a_word(
    path: str,
) -> None:
    stalled = ASKED | {"prompt": "[sim stall after=14]"}
    async with asyncio.timeout(GUARD_S), running(stream_linger_s=0) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", path, body=stalled))
            await until(lambda: service.service.runs.active == 1)
            if path == "/search/stream":
                await wire.head()
            wire.send(b"nonsense\r\n\r\n")
            assert b"HTTP/1.1" not in await wire.reader.read()
        await until(lambda: service.service.runs.active == 0)
