"""Nothing leaks: marked secrets are looked for in all that the service writes and answers."""

import base64
import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from simulator.gallery import jpeg
from simulator.pictures import PICTURES
from tests.e2e import callers
from tests.e2e.callers import ASKED, SHOP, SHOP_KEY, bearer, token
from tests.e2e.images.files import chunk, encoded, png, scene
from tests.e2e.shipped import shipped
from tests.service import GALLERY_URL, KEY, Running

PROMPT = "canary-prompt"
QUERY = "canary-query"
WRONG_KEY = "sk-canary-wrong-key"
BOUND, FREE, EXPIRED = token(origin=callers.PAGE), token(jti="j-2"), token(exp=1_700_000_000)
CREDENTIALS = (KEY, SHOP_KEY, callers.BLOG_KEY, callers.SECRET, WRONG_KEY, BOUND, FREE, EXPIRED)
BASE64 = base64.b64encode(jpeg(PICTURES[7].name)).decode()
TIFF = encoded(scene(), "TIFF", description="canary-inside-the-picture")
PNG = png(scene(3_000, 300))[:33] + chunk(b"IDAT", b"") + chunk(b"c?y!", b"")
PNG += chunk(b"IEND", b"")  # The worker is the first to see what is wrong with it.
PRIVATE = (*CREDENTIALS, "canary", "c?y!", BASE64[1_000:1_100])
"""What no log line may hold; an answer holds no credential, but may repeat its caller's words."""


def json_of(scenario: str = "normal", **fields: Any) -> dict[str, Any]:
    return ASKED | {"prompt": f"[sim {scenario}] {PROMPT}"} | fields


def search(**how: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", "/search", {"headers": SHOP} | how


SCENARIOS = (
    *("normal", "echo_key", "echo_key_error", "http_401", "cut_after_results"),
    *("failed_mid_stream", "error row=download_failed", "reset_before_headers"),
)
FIELDS: tuple[dict[str, str], ...] = (
    {"image_url": f"data:image/jpeg;base64,{BASE64}"},
    {"image_url": f"https://pictures.example/x.jpg?{QUERY}"},
    {"image_url": f"http://10.0.0.1/?{QUERY}"},
    {"image_url": f"data:{PROMPT}"},
    {"model": PROMPT},
    {"max_output_tokens": PROMPT},
)
PICTURE = f"{ASKED['image_url']}?{QUERY}"
V1: dict[str, Any] = {
    "model": "qwen3.7-plus",
    "input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]},
        {"role": "user", "content": [{"type": "input_text", "text": f"[sim normal] {PROMPT}"}]},
    ],
}
SEARCH, RESPONSE = f"/search/srch_{'0' * 32}", f"/v1/responses/resp_{'0' * 32}"
QUERIED = (
    *(f"GET {SEARCH}", f"DELETE {SEARCH}", f"GET {SEARCH}/stream", "GET /usage", "GET /nowhere"),
    *("GET /healthz", "GET /readyz", "GET /metrics", "GET /ui/chat/c-1/stream"),
    *(f"GET {RESPONSE}", f"DELETE {RESPONSE}", f"GET {RESPONSE}/input_items"),
    *(f"POST {RESPONSE}/cancel", "GET /v1/models", "GET /v1/models/none"),
)
PARTS = [
    {"type": "text", "text": PROMPT},
    {"type": "file", "mediaType": "image/jpeg", "url": PICTURE},
]
CHAT = {"id": "c-1", "messages": [{"id": "m-1", "role": "user", "parts": PARTS}]}
REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(
        (method, path, {"params": {"access_token": FREE, "x": QUERY}, "headers": SHOP})
        for method, path in map(str.split, QUERIED)
    ),
    *(search(json=json_of(scenario)) for scenario in SCENARIOS),
    *(search(json=json_of(**field)) for field in FIELDS),
    search(files={"image": (f"{PROMPT}.tiff", TIFF)}),
    search(files={"image": PNG}),
    search(content=f'{{"prompt": "{PROMPT}'),
    search(json=json_of(), headers=SHOP | {"Idempotency-Key": "k"}),
    search(json=json_of(), headers=bearer(WRONG_KEY)),
    search(json=json_of(), headers=bearer(EXPIRED)),
    search(json=json_of(), headers=bearer(BOUND) | {"Origin": "https://another.example"}),
    search(json=json_of(), headers={}, params={"access_token": SHOP_KEY}),
    ("POST", "/search/stream", {"json": json_of(), "headers": SHOP}),
    ("GET", "/search/stream", {"params": json_of() | {"access_token": FREE}}),
    ("GET", "/search/stream", {"params": json_of() | {"access_token": WRONG_KEY}}),
    ("GET", "/search/stream", {"params": json_of(), "headers": bearer(BOUND)}),
    ("POST", "/tokens", {"json": {"origin": QUERY}, "headers": SHOP}),
    ("POST", "/tokens", {"headers": bearer(BOUND)}),
    ("GET", f"/search/stream%3Faccess_token={FREE}", {}),
    ("GET", f"/nowhere;access_token={FREE}", {}),
    ("POST", "/ui/chat", {"json": CHAT, "headers": SHOP}),
    *(
        ("POST", "/v1/responses", {"json": V1 | how, "headers": SHOP})
        for how in ({}, {"stream": True}, {"instructions": PROMPT}, {"input": "[sim http_401]"})
    ),
    ("POST", "/v1/responses", {"json": V1 | {"prompt": QUERY}, "headers": bearer(WRONG_KEY)}),
)


async def ask_all(
    http: httpx.AsyncClient, **headers: str
) -> AsyncGenerator[tuple[str, httpx.Response], None]:
    for method, path, how in REQUESTS:
        sent = {"Accept": "text/event-stream"} | headers | how.get("headers", {})
        yield path, await http.request(method, path, **how | {"headers": sent})


async def test_every_operation_is_asked(service: Running) -> None:
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        asked = {method.lower() for method, one, _ in REQUESTS if re.fullmatch(pattern, one)}
        assert operations.keys() <= asked, path


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_the_process_writes_nothing_private_at_debug_level(log_format: str) -> None:
    settings = callers.GUARDED_PROCESS | {"LOG_LEVEL": "debug", "LOG_FORMAT": log_format}
    statuses = set()
    async with shipped(**settings, PYTHONWARNINGS="error") as (process, http):
        async for path, answer in ask_all(http):
            text = f"{answer.headers}{answer.text}"
            assert [word for word in CREDENTIALS if word in text] == [], path
            assert not (answer.is_error and "canary" in text), path
            statuses.add(answer.status_code)
        garbage = await http.request(f"CANARY{SHOP_KEY}", "/")
        assert garbage.status_code in {400, 405}
    assert {200, 400, 401, 403, 404, 422, 502} <= statuses
    for line in process.lines:
        assert [word for word in PRIVATE if word in line] == [], line
    ended = [line for line in process.lines if "search ended" in line]
    assert len(ended) >= 10
    assert all("shop" in line for line in ended)


async def test_prompts_are_logged_where_the_operator_wants_it() -> None:
    prompts = ["canary-one", "[sim cut_after_results] canary-two"]
    settings = {"LOG_PROMPTS": "true", "LOG_LEVEL": "debug", "ALLOW_ANONYMOUS": "true"}
    async with shipped(**settings) as (process, http):
        for prompt in prompts:
            await http.post("/search", json=ASKED | {"prompt": prompt})
    assert all(prompt in process.said for prompt in prompts)
    assert GALLERY_URL not in process.said
