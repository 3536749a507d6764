"""Nothing leaks: planted canaries are looked for in all that the service writes and answers."""

import asyncio
import base64
import io
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.models import ImageInput, SearchSpec
from simulator import create_app as create_simulator
from simulator.gallery import jpeg
from simulator.pictures import PICTURES
from simulator.serving import serving
from tests.e2e.callers import (
    ASKED,
    BLOG_KEY,
    EVIL,
    GUARDED,
    PAGE,
    SECRET,
    SHOP,
    SHOP_KEY,
    bearer,
    token,
)
from tests.service import FAST, GALLERY_URL, KEY, running

GUARD_S = 60
PROMPT = "canary-prompt"
QUERY = "canary-query"
MARK = "canary-inside-the-picture"
WRONG_KEY = "sk-canary-wrong-key"
BOUND = token(origin=PAGE)
FREE = token(jti="j-2")
EXPIRED = token(exp=1_700_000_000)
CREDENTIALS = (KEY, SHOP_KEY, BLOG_KEY, SECRET, WRONG_KEY, BOUND, FREE, EXPIRED)
PICTURE = jpeg(PICTURES[7].name)
BASE64 = base64.b64encode(PICTURE).decode()
PRIVATE = (*CREDENTIALS, "canary", BASE64[1_000:1_100])
"""What no log line may hold; an answer holds no credential, but may repeat its caller's words."""


def tiff() -> bytes:
    """A picture with words in it, which decoders like to log."""
    made = io.BytesIO()
    with Image.open(io.BytesIO(PICTURE)) as picture:
        picture.save(made, "TIFF", description=MARK)
    return made.getvalue()


def json_of(scenario: str = "normal", **fields: Any) -> dict[str, Any]:
    return ASKED | {"prompt": f"[sim {scenario}] {PROMPT}"} | fields


REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(
        ("POST", "/search", {"json": json_of(scenario), "headers": SHOP})
        for scenario in (
            "normal",
            "echo_key",
            "echo_key_error",
            "http_400",
            "http_401",
            "cut_after_results",
            "failed_mid_stream",
            "error row=download_failed",
            "html_200",
            "garbage",
            "reset_before_headers",
        )
    ),
    ("POST", "/search", {"files": {"image": (f"{PROMPT}.tiff", tiff())}, "headers": SHOP}),
    ("POST", "/search", {"files": {"prompt": (None, PROMPT)}, "headers": SHOP}),
    (
        "POST",
        "/search/stream",
        {"json": json_of(image_url=f"data:image/jpeg;base64,{BASE64}"), "headers": SHOP},
    ),
    (
        "POST",
        "/search",
        {"json": json_of(image_url=f"https://pictures.example/x.jpg?{QUERY}"), "headers": SHOP},
    ),
    ("POST", "/search", {"json": json_of(image_url=f"http://10.0.0.1/?{QUERY}"), "headers": SHOP}),
    ("POST", "/search", {"json": json_of(image_url=f"data:{PROMPT}"), "headers": SHOP}),
    ("POST", "/search", {"json": json_of(model=PROMPT), "headers": SHOP}),
    ("POST", "/search", {"json": json_of(max_output_tokens=PROMPT), "headers": SHOP}),
    ("POST", "/search", {"json": json_of(previous_response_id=PROMPT), "headers": SHOP}),
    ("POST", "/search", {"json": json_of(), "headers": SHOP | {"Idempotency-Key": "k"}}),
    ("POST", "/search", {"json": json_of(), "headers": bearer(WRONG_KEY)}),
    ("POST", "/search", {"json": json_of(), "headers": bearer(EXPIRED)}),
    ("POST", "/search", {"json": json_of(), "headers": bearer(BOUND) | {"Origin": EVIL}}),
    ("POST", "/search", {"json": json_of(), "params": {"access_token": SHOP_KEY}}),
    ("POST", "/search", {"content": f'{{"prompt": "{PROMPT}', "headers": SHOP}),
    ("GET", "/search/stream", {"params": json_of() | {"access_token": FREE}}),
    ("GET", "/search/stream", {"params": json_of("http_500") | {"access_token": FREE}}),
    ("GET", "/search/stream", {"params": json_of() | {"access_token": WRONG_KEY}}),
    ("GET", "/search/stream", {"params": json_of(), "headers": bearer(BOUND)}),
    ("GET", f"/search/{'srch_' + '0' * 32}", {"params": {"x": QUERY}, "headers": SHOP}),
    ("POST", "/tokens", {"json": {"origin": QUERY}, "headers": SHOP}),
    ("POST", "/tokens", {"headers": bearer(BOUND)}),
    ("GET", "/nowhere", {"params": {"access_token": FREE}, "headers": SHOP}),
    ("GET", "/metrics", {"params": {"access_token": FREE}, "headers": SHOP}),
    ("GET", "/openapi.json", {"headers": SHOP}),
)


async def send_all(http: httpx.AsyncClient) -> list[httpx.Response]:
    """Send what holds canaries wherever something can be put."""
    return [
        await http.request(
            method,
            path,
            **how | {"headers": {"Accept": "text/event-stream", **how.get("headers", {})}},
        )
        for method, path, how in REQUESTS
    ]


def no_credential_in(answers: list[httpx.Response]) -> None:
    for answer in answers:
        text = f"{answer.headers}{answer.text}"
        assert [word for word in CREDENTIALS if word in text] == [], answer.url.path
        if answer.is_error:
            assert "canary" not in text, answer.url.path
    assert {200, 400, 401, 403, 404, 422, 502} <= {answer.status_code for answer in answers}


@asynccontextmanager
async def process(
    **environment: str,
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Future[str]]]:
    """`python -m app` in front of a stand-in, and, after the block, all it has written."""
    written: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with serving(create_simulator(FAST)) as upstream_url:
        given = {
            **{name: value for name, value in os.environ.items() if name.isupper()},
            "DASHSCOPE_API_KEY": KEY,
            "DASHSCOPE_BASE_URL": f"{upstream_url}/v1",
            "PORT": "0",
            "SHUTDOWN_GRACE_S": "1",
            "PYTHONPATH": str(Path.cwd()),
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-m",
            "app",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=given | environment,
        )
        assert child.stdout
        text = ""
        try:
            while not (found := re.search(r"running on (http://[0-9.:]+)", text)):
                line = (await child.stdout.readline()).decode()
                assert line, text
                text += line
            async with httpx.AsyncClient(base_url=found[1], timeout=30) as http:
                yield http, written
        finally:
            child.terminate()
            rest, _ = await child.communicate()
            written.set_result(text + rest.decode())
        assert child.returncode == 0


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_the_process_writes_nothing_private_even_when_it_logs_everything(
    log_format: str, tmp_path: Path
) -> None:
    keys, secret = tmp_path / "keys", tmp_path / "secret"
    keys.write_text(GUARDED["client_keys"] + "\n", encoding="utf-8")
    secret.write_text(SECRET + "\n", encoding="utf-8")
    environment = {
        "CLIENT_KEYS_FILE": str(keys),
        "CLIENT_TOKEN_SECRET_FILE": str(secret),
        "CORS_ORIGINS": PAGE,
        "RATE_LIMIT": "0",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": log_format,
    }
    async with asyncio.timeout(GUARD_S):
        async with process(**environment) as (http, written):
            no_credential_in(await send_all(http))
            garbage = await http.request(f"CANARY{SHOP_KEY}", "/")
            assert garbage.status_code in {400, 405}
        text = await written
    lines = text.splitlines()
    for line in lines:
        assert [word for word in PRIVATE if word in line] == [], line
    told = [line for line in lines if "search ended" in line]
    assert len(told) >= 10
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in lines)
    else:
        assert all('"client": "shop"' in line for line in told)


async def test_no_logger_no_answer_and_no_repr_holds_what_is_private(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(**GUARDED) as service:
        for name in ("app", "uvicorn", "sse_starlette", "asyncio", "simulator"):
            caplog.set_level(logging.DEBUG, name)
        no_credential_in(await send_all(service.http))
        fields = [str(vars(record)) for record in caplog.records if record.name.startswith("app")]
        runs = service.service.runs._runs.values()
        parts = [service.service, service.service.settings, service.service.guards, spec(), *runs]
    assert len(fields) > len(REQUESTS)
    for text in (*fields, *map(repr, parts)):
        assert [word for word in PRIVATE if word in text] == []


def spec() -> SearchSpec:
    return SearchSpec(
        images=(ImageInput(f"data:image/jpeg;base64,{BASE64}".encode(), "digest"),),
        prompt=PROMPT,
        instructions=PROMPT,
        model="qwen3.7-plus",
    )


@pytest.mark.parametrize("wanted", [True, False])
async def test_prompts_are_logged_only_where_the_operator_wants_it(
    wanted: bool,  # noqa: FBT001 - the cases of a table
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app")
    asked = [json_of(scenario) for scenario in ("normal", "cut_after_results")]
    async with running(log_prompts=wanted) as service:
        for one in asked:
            await service.http.post("/search", json=one)
    ended = [record for record in caplog.records if record.getMessage() == "search ended"]
    logged = [vars(record)["fields"].get("prompt") for record in ended]
    assert logged == ([one["prompt"] for one in asked] if wanted else [None, None])
    assert GALLERY_URL not in caplog.text
