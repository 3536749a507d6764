"""What becomes of a request that breaks on its way: told if it can be, and logged either way."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.api.cors import Cors
from app.api.middleware import RequestLog
from app.guards import Origins
from app.telemetry import Metrics
from tests.clock import until
from tests.e2e.callers import BLOG_KEY, GUARDED, bearer
from tests.e2e.test_early_refusal import MB, UPLOAD_BYTES, connected
from tests.service import running, served


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [record for record in caplog.records if record.name == "app.access"]
    return [vars(line)["fields"] for line in lines if hasattr(line, "fields")]


async def at_once(_: Request) -> Response:
    raise LookupError("canary")


async def half_way(_: Request) -> Response:
    async def body() -> Any:
        yield b"half of it"
        raise LookupError("canary")

    return StreamingResponse(body())


async def test_a_bug_is_told_as_a_problem_or_else_breaks_the_answer_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app")
    app = Starlette(routes=[Route("/at-once", at_once), Route("/half-way", half_way)])
    app.add_middleware(RequestLog, metrics=Metrics(), cors=Cors(Origins(), tokens=False))
    async with served(app) as url, httpx.AsyncClient(base_url=url) as http:
        told = await http.get("/at-once")
        assert (told.status_code, told.json()["code"]) == (500, "internal")
        assert "canary" not in told.text
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/half-way")
    assert [line["status"] for line in logged(caplog)] == [500, 200]
    assert caplog.text.count("LookupError: canary") >= 2


async def test_a_caller_who_hangs_up_in_mid_upload_is_logged_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app.access")
    async with asyncio.timeout(30), running(**GUARDED) as service:
        inflight = service.service.intake.memory
        async with connected(service) as caller:
            headers = bearer(BLOG_KEY) | {"Content-Type": "application/json"}
            await caller.begin("/search", headers, UPLOAD_BYTES)
            await caller.send(MB)
            await until(lambda: inflight.used_bytes > 0)
            caller.abort()
        await until(lambda: bool(logged(caplog)))
        assert inflight.used_bytes == 0
        assert [line["status"] for line in logged(caplog)] == [499]
