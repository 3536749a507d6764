"""Requests as real clients and the proxies in front of them make them: they work, or are told."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.settings import load
from simulator import create_app as create_simulator
from tests.e2e.callers import ASKED, SHOP_KEY
from tests.e2e.images.files import noise, png
from tests.service import FAST, KEY, Running, running, served

PREFIX = "/images"
EVENTS = {"Accept": "text/event-stream"}


@asynccontextmanager
async def behind(way: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service under a path prefix; the client's base URL is what a proxy would ask for."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(served(create_simulator(FAST)))
        settings = load(
            dashscope_api_key=KEY,
            dashscope_base_url=f"{upstream}/compatible-mode/v1",
            allow_anonymous=True,
            image_workers=1,
            root_path=PREFIX if way.startswith("ROOT_PATH") else "",
            _env_file=None,
        )
        app = create_app(settings)
        if way.startswith("mounted"):
            app = mounted(app)
        path = PREFIX if way.startswith("--root-path") else ""
        config = uvicorn.Config(app, root_path=path, log_config=None)
        url = await stack.enter_async_context(served(app, config=config))
        base_url = url if way.endswith("stripped") else url + PREFIX
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=base_url, timeout=60))


def mounted(inner: FastAPI) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False})  # It would trace queries.
    app.mount(PREFIX, inner)
    return app


PATHS = ("ROOT_PATH, stripped", "ROOT_PATH, kept", "--root-path, stripped", "--root-path, kept")


@pytest.mark.parametrize("way", [*PATHS, "mounted"])
async def test_under_a_path_prefix_everything_is_as_without(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.access")
    async with behind(way) as http:
        for path, status in (("/v1/responses", 422), ("/v1/nothing", 404), ("//v1/nothing", 404)):
            refused = await http.post(str(http.base_url).rstrip("/") + path, json={"model": "x"})
            assert (refused.status_code, refused.headers["x-should-retry"]) == (status, "false")
            assert refused.json()["error"]["code"]
        stream = await http.post("/search/stream", json=ASKED)
        assert stream.headers["location"].startswith(f"{PREFIX}/search/srch_")
        place = stream.headers["location"].removeprefix(PREFIX)
        assert (await http.get(place, params={"after": 1})).status_code == 200
        assert (await http.put("/search/stream")).headers["allow"] == "GET, POST"
        page = await http.get("/")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for file in ("/client.js", "/web/page.js", "/web/page.css"):
            assert (await http.get(file)).status_code == 200
        assert (await http.get("/openapi.json")).json()["servers"] == [{"url": PREFIX}]
        assert (await http.get("/readyz")).status_code == 200
    paths = [one.__dict__["fields"]["path"] for one in caplog.records if one.msg == "request"]
    assert "/v1/responses" in paths
    assert "/readyz" not in paths


async def test_slashes_that_clients_double_do_no_harm(service: Running) -> None:
    for path in ("//v1/models", "/v1//models", "/v1/models/qwen3.7-plus"):
        answer = await service.http.get(service.url + path)
        assert answer.status_code == 200, path
    assert (answer.json()["id"], answer.json()["object"]) == ("qwen3.7-plus", "model")
    unknown = await service.http.get("/v1/models/none")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert (await service.http.post(f"{service.url}//search", json=ASKED)).status_code == 200


@pytest.mark.parametrize("path", ["/responses", "/v1/responses/responses", "/v1/chat/completions"])
async def test_a_wrong_base_url_is_told_the_right_one(path: str, service: Running) -> None:
    answer = await service.http.post(path, json={"model": "qwen3.7-plus", "input": "x"})
    assert answer.status_code in {404, 405}
    assert "base URL that ends in /v1" in answer.text


LABELS = (
    b"",
    b"\r\nContent-Type: image/png",
    b"; filename*=UTF-8''a%20b.png",
    b"\r\nContent-Transfer-Encoding: binary",
)


@pytest.mark.parametrize("blanks", [b"", b"\r\n"], ids=len)
async def test_a_file_is_a_file_however_its_part_is_labelled(
    blanks: bytes, service: Running
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    large = noise(700, 700)  # More than a text may have.
    for label, picture in (*((label, png()) for label in LABELS), (b"", png(large))):
        head = b'--b\r\nContent-Disposition: form-data; name="image"' + label + b"\r\n\r\n"
        body = blanks + head + picture + b"\r\n--b--\r\n"
        for content in (body, in_pieces(body, 7 if len(body) < 10_000 else 1_000)):
            answer = await service.http.post("/search", content=content, headers=headers)
            assert answer.status_code == 200, (label, answer.text)


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def test_a_body_may_be_cut_inside_an_escaped_character(service: Running) -> None:
    headers = {"Content-Type": "application/json"}
    prompt = "data: is what I would call this \U0001f5bc here, or \u00e9."
    body = json.dumps(ASKED | {"prompt": prompt}).encode()
    answer = await service.http.post("/search", content=in_pieces(body, 1), headers=headers)
    assert answer.status_code == 200, answer.text


async def test_what_event_source_libraries_add_pays_nothing_twice() -> None:
    """They send `Cache-Control: no-cache`, `_` and `lastEventId` by themselves."""
    headers = EVENTS | {"Cache-Control": "no-cache"}
    async with running() as service:
        for added in ({}, {"_": "1790000000000"}, {"lastEventId": ""}):
            stream, events = await service.stream("GET", params=ASKED | added, headers=headers)
            assert stream.status_code == 200
            assert "connection" not in stream.headers
        _, rest = await service.stream("GET", params={"lastEventId": events[1].id, "_": "1"})
        assert [one.id for one in rest] == [one.id for one in events[2:]]
        assert service.record.total == 1


@pytest.mark.parametrize(
    ("sent", "word"),
    [(SHOP_KEY, "'Bearer'"), (f"Token {SHOP_KEY}", "'Bearer'"), (f'Bearer "{SHOP_KEY}"', "quotes")],
)
async def test_a_key_in_the_wrong_form_is_told_the_right_one(
    sent: str, word: str, guarded: Running
) -> None:
    for path in ("/search", "/v1/responses", "/tokens"):
        answer = await guarded.http.post(path, json=ASKED, headers={"Authorization": sent})
        assert answer.status_code == 401
        assert word in answer.text


async def test_a_compressed_body_is_refused_by_name(service: Running) -> None:
    for coding in ("gzip", "BR", "gzip, identity"):
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        for path in ("/search", "/v1/responses"):
            answer = await service.http.post(path, content=b"\x1f\x8b", headers=headers)
            assert answer.status_code == 415
            assert "encoding_unsupported" in answer.text
            assert "uncompressed" in answer.text
