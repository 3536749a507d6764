"""Callers that mean harm, or behave as if: they cost little, and end."""

import asyncio
import json
import sys
from typing import Any

import httpx
import pytest

from app.protocol import HEAD_MAX_BYTES
from app.server import check_address
from app.settings import SettingsError
from simulator.pictures import PICTURES
from simulator.serving import listen
from tests.clock import settle, skip, until
from tests.e2e.callers import GUARDED, SHOP
from tests.e2e.v1 import create
from tests.processes import ROOT
from tests.service import GALLERY_URL, Running, running
from tests.wire import Wire, dial, events_of, request, send_at_once

URL = GALLERY_URL + PICTURES[7].name
JSON = {"Content-Type": "application/json"}
PATIENCE_S = 15
"""`UPLOAD_IDLE_TIMEOUT_S`."""
ANSWER_MAX_BYTES = 4_096
GUARD_S = 3_600
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n"


async def whole(wire: Wire) -> bytes:
    """All that comes until the connection ends, however it does."""
    data = b""
    try:
        while piece := await wire.reader.read(2**16):
            data += piece
    except ConnectionResetError:
        pass
    return data


HEADS: dict[str, bytes] = {
    "one long header": READY + b"X: " + b"a" * HEAD_MAX_BYTES,
    "many headers": READY + b"".join(b"X%d: y\r\n" % n for n in range(HEAD_MAX_BYTES // 8)),
    "a long address": b"GET /" + b"a" * HEAD_MAX_BYTES,
    "a head that is whole": READY + b"X: " + b"a" * HEAD_MAX_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("what", HEADS)
async def test_a_head_that_is_too_large_is_refused_and_nothing_more_is_read(
    what: str, pieces: int
) -> None:
    head = HEADS[what]
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        size = len(head) // pieces + 1
        for start in range(0, len(head), size):
            wire.send(head[start : start + size])
            await settle()
        lines, _, body = (await whole(wire)).partition(b"\r\n\r\n")
        assert lines.startswith(b"HTTP/1.1 431 ")
        assert b"connection: close" in lines
        assert b"application/problem+json" in lines
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (431, "head_too_large")
        assert f"x-request-id: {problem['request_id']}".encode() in lines


async def test_a_head_of_just_the_allowed_size_is_taken_on_every_request_of_a_connection() -> None:
    spare = HEAD_MAX_BYTES - len(READY) - len(b"X: \r\n\r\n")
    head = READY + b"X: " + b"a" * spare + b"\r\n\r\n"
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        for _ in range(3):
            wire.send(head)
            status, headers = await wire.head()
            assert status == 200
            await wire.reader.readexactly(int(headers["content-length"]))


async def test_a_head_too_large_behind_a_running_answer_ends_the_connection_without_a_word() -> (
    None
):
    body = {"image_url": URL, "prompt": "[sim stall after=14]"}
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(request("POST", "/search/stream", body=body))
        await wire.head()
        wire.send(b"GET /" + b"a" * HEAD_MAX_BYTES)
        assert b"head_too_large" not in await whole(wire)
        await ended(service)


BEGINNINGS: dict[str, bytes] = {
    "nothing": b"",
    "half a head": READY,
    "empty lines": b"\r\n",
    "half a head behind an answer": READY + b"\r\n" + READY,
}


@pytest.mark.parametrize("what", BEGINNINGS)
async def test_a_head_that_does_not_come_ends_the_connection(what: str) -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(BEGINNINGS[what])
        if what.endswith("answer"):
            _, headers = await wire.head()
            await wire.reader.readexactly(int(headers["content-length"]))
        await settle()
        skip(PATIENCE_S)
        assert await whole(wire) == b""


async def test_dribbling_a_head_buys_no_time() -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        send_at_once(wire)
        wire.send(READY)
        for _ in range(5):
            wire.send(b"X: y\r\n")
            await settle()
            skip(PATIENCE_S / 5)
        assert await whole(wire) == b""


async def test_where_time_is_not_limited_a_head_may_take_its_time() -> None:
    async with (
        asyncio.timeout(GUARD_S),
        running(upload_idle_timeout_s=0) as service,
        dial(service.url) as wire,
    ):
        wire.send(READY)
        await settle()
        skip(10 * PATIENCE_S)
        wire.send(b"\r\n")
        assert (await wire.head()).status == 200


async def test_a_running_answer_outlives_the_patience_for_what_is_sent_behind_it() -> None:
    body = {"image_url": URL, "prompt": "[sim stall after=14]"}
    async with (
        asyncio.timeout(GUARD_S),
        running(stream_progress_s=5) as service,
        dial(service.url) as wire,
    ):
        wire.send(request("POST", "/search/stream", body=body) + READY)
        await wire.head()
        data = b""
        while events_of(data).count(b"search.progress") < 8:
            skip(5)
            data += await wire.piece()
        wire.reset()
        await ended(service)


async def test_a_refused_caller_who_stops_sending_is_dropped() -> None:
    async with asyncio.timeout(GUARD_S), running(**GUARDED) as service, dial(service.url) as wire:
        wire.send(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        status, headers = await wire.head()
        assert status == 401
        await wire.reader.readexactly(int(headers["content-length"]))
        send_at_once(wire)
        for _ in range(3):
            wire.send(b"x" * 1_000)
            await settle()
            skip(PATIENCE_S / 2)
        assert not wire.reader.at_eof()
        await settle()
        skip(PATIENCE_S)
        assert await whole(wire) == b""


OLD: dict[str, bytes] = {
    "an answer": request("POST", "/search", body={"image_url": URL}),
    "a stream": request("POST", "/search/stream", body={"image_url": URL}),
    "a refusal": request("POST", "/search", body={}),
}


@pytest.mark.parametrize("what", OLD)
async def test_a_caller_of_http_1_0_gets_no_chunks(what: str) -> None:
    asked = OLD[what].replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(asked)
        lines, _, body = (await whole(wire)).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in lines
        assert b"connection: close" in lines
        if what == "a stream":
            assert body.startswith(b"retry: ")
            assert body.endswith(b"\n\n")
            assert events_of(body)[-1] == b"search.completed"
        else:
            assert isinstance(json.loads(body), dict)


async def ended(service: Running) -> None:
    """Wait until nothing runs any more, for whoever left without a word."""
    reading = service.service.metrics.streams_open
    await until(lambda: reading._value.get() == 0)
    await settle()
    skip(service.service.settings.stream_linger_s)
    await until(lambda: service.service.runs.active == 0)
    await settle()


async def refused(service: Running, body: bytes | dict[str, Any]) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await service.http.post("/search", content=content, headers=JSON)
    assert response.status_code == 422
    assert len(response.content) < ANSWER_MAX_BYTES
    problem: dict[str, Any] = response.json()
    return problem


async def test_a_great_many_wrong_fields_are_told_of_in_few_words() -> None:
    async with running() as service:
        told = await refused(service, b'{"image_url":[' + b"0," * 300_000 + b"0]}")
        assert [error["field"] for error in told["errors"]] == ["image"]
        told = await refused(service, {f"f{n}": 0 for n in range(100_000)})
        assert [error["field"] for error in told["errors"]] == [f"f{n}" for n in range(20)]
        told = await refused(service, {"image_url": [0] * 8})
        assert len(told["errors"]) == 8


@pytest.mark.parametrize("name", ["\ud800", "x" * 100_000])
async def test_a_field_of_any_name_is_named(name: str) -> None:
    async with running() as service:
        told = await refused(service, {name: 0})
        assert told["errors"][0]["field"] == ("?" if name == "\ud800" else "x" * 128)
        content = [{"type": "input_text", "text": {name: {"file_url": "x"}}}]
        body = {"model": "qwen3.7-plus", "input": [{"role": "user", "content": content}]}
        response = await create(service, body)
        assert response.status_code == 422
        assert response.json()["error"]["param"].startswith("input[0].content[0].text.")
        assert len(response.content) < ANSWER_MAX_BYTES


def nested(name: str, levels: int) -> Any:
    value: Any = {"file_url": "x"}
    for _ in range(levels):
        value = {name: value}
    return value


async def test_depth_and_long_names_cost_no_more_than_they_weigh() -> None:
    async with running() as service:
        for value in (
            nested("a" * 10_000, 400),
            nested("a" * 10_000, 60),
            nested("a", 64),
            {"a": [0] * 100_000 + [nested("b", 1)]},
        ):
            body = {"model": "qwen3.7-plus", "input": "x", "instructions": value}
            response = await create(service, body)
            assert response.status_code == 422
            assert response.json()["error"]["param"].startswith("instructions.a")
            assert len(response.content) < ANSWER_MAX_BYTES
        assert service.record.total == 0


async def test_pictures_beyond_the_allowed_number_are_not_even_listed() -> None:
    picture = {"type": "input_image", "image_url": URL}
    body = {"model": "qwen3.7-plus", "input": [{"role": "user", "content": [picture] * 50_000}]}
    async with running() as service:
        response = await create(service, body)
        assert response.status_code == 422
        assert "At most 8 images" in response.text


async def test_the_service_says_in_one_line_that_it_cannot_listen() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SettingsError, match=f"HOST=127.0.0.1 PORT={port}: .* in use"):
            await check_address("127.0.0.1", int(port))
        for host, why in (("127.0.0.1", "in use"), ("no-such-host.invalid", "")):
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app",
                cwd="/",
                env={
                    "PYTHONPATH": str(ROOT),
                    "DASHSCOPE_API_KEY": "k",
                    "ALLOW_ANONYMOUS": "true",
                    "HOST": host,
                    "PORT": port,
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await child.communicate()
            assert child.returncode == 2
            assert said.count(b"\n") == 1
            for part in (f"HOST={host}", f"PORT={port}", why):
                assert part in said.decode()


FILLED_IN: dict[str, str] = {
    "image_url": URL,
    "prompt": "",
    "model": "",
    "instructions": "",
    "thinking": "",
    "max_output_tokens": "",
    "previous_response_id": "",
}


async def test_fields_of_a_form_that_nobody_filled_in_are_not_there() -> None:
    async with running() as service:
        for asked in (FILLED_IN, FILLED_IN | {"image_url": ["", URL]}):
            parts = httpx.QueryParams(asked).multi_items()
            form = [(name, (None, value)) for name, value in parts]
            posted = await service.http.post("/search", files=form)
            assert posted.status_code == 200, posted.text
            streamed, events = await service.stream("GET", params=asked)
            assert (streamed.status_code, events[-1].event) == (200, "search.completed")
        empty = await service.http.post("/search", files={"image_url": (None, "")})
        assert (empty.status_code, empty.json()["code"]) == (422, "image_missing")
        unknown = await service.http.post("/search", files={"nonsense": (None, "")})
        assert unknown.json()["errors"][0]["field"] == "nonsense"


async def test_null_is_as_good_as_nothing_in_json() -> None:
    nothing = dict.fromkeys(FILLED_IN, None)
    async with running() as service:
        response = await service.http.post("/search", json=nothing | {"image_url": URL})
        assert response.status_code == 200
        again = await service.http.post("/search", json={"image_url": URL})
        assert again.headers["x-cache"] == "hit"
        missing = await service.http.post("/search", json=nothing)
        assert missing.json()["code"] == "image_missing"


async def test_a_token_is_asked_for_in_json_or_without_a_body() -> None:
    async with running(**GUARDED) as service:
        for kind in ("text/plain", "multipart/form-data; boundary=b"):
            headers = SHOP | {"Content-Type": kind}
            bare = await service.http.post("/tokens", headers=headers)
            assert bare.status_code == 200
            told = await service.http.post("/tokens", headers=headers, content=b'{"ttl_s": 60}')
            assert (told.status_code, told.json()["code"]) == (400, "malformed_body")


async def test_no_cache_is_understood_on_any_line_and_in_any_case() -> None:
    asked = {"image_url": URL}
    async with running() as service:
        for given in ([], [("Cache-Control", "max-age=0"), ("cache-control", "NO-CACHE")]):
            response = await service.http.post("/search", headers=given, json=asked)
            assert response.headers["x-cache"] == "miss"
        assert (await service.http.post("/search", json=asked)).headers["x-cache"] == "hit"


async def test_whoever_leaves_a_v1_stream_before_it_began_leaves_nothing_behind() -> None:
    body = {"model": "qwen3.7-plus", "input": "[sim no_first_event]", "stream": True}
    async with asyncio.timeout(GUARD_S), running(stream_commit_s=GUARD_S) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", "/v1/responses", body=body))
            await until(lambda: service.service.runs.active == 1)
            wire.reset()
        await until(lambda: service.service.runs.active == 0)
