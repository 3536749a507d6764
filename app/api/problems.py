"""Errors out: every failure of a request as `application/problem+json` (RFC 9457).

Under `/v1` they are what OpenAI's clients read.
"""

import json
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app import telemetry
from app.errors import (
    MethodNotAllowed,
    RouteNotFound,
    ServiceError,
    Unauthorized,
    openai_error,
    problem,
)
from app.runs import Run

OPENAI_PREFIX = "/v1/"

DEFAULT_RETRY_AFTER_S = 2
"""Told with every 429 and 503 whose wait nobody knows."""


def remember_run(scope: Scope, run: Run) -> None:
    """Note which search a request is about, for its headers, its log line and its errors."""
    scope.setdefault("state", {})["run"] = run


def run_of(scope: Scope) -> Run | None:
    """Return the search that a request was found to be about."""
    run: Run | None = scope.get("state", {}).get("run")
    return run


def code_of(scope: Scope) -> str | None:
    """Return the error code that a request was answered with, if it was."""
    code: str | None = scope.get("state", {}).get("code")
    return code


def problem_response(scope: Scope, error: ServiceError) -> Response:
    """Render an error, with the search's id and what it had found, if it got that far."""
    scope.setdefault("state", {})["code"] = error.code
    if f"{scope['path']}/".startswith(OPENAI_PREFIX):
        return _openai_response(error)
    run = run_of(scope)
    body = problem(
        error,
        request_id=telemetry.request_id.get(),
        search_id=run.id if run else None,
        result=_found_before(run),
    )
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=error.status,
        media_type="application/problem+json",
        headers=_headers(error),
    )


def _openai_response(error: ServiceError) -> Response:
    """Render an error for OpenAI's clients, which try again by themselves unless told not to."""
    try_again = error.retryable and not error.may_be_billed
    return Response(
        json.dumps(openai_error(error), ensure_ascii=False),
        status_code=error.status,
        media_type="application/json",
        headers=_headers(error) | {"X-Should-Retry": str(try_again).lower()},
    )


def _found_before(run: Run | None) -> dict[str, Any] | None:
    """Return what a failed search had found: it was paid for."""
    if run is None or not run.ended:
        return None
    result = run.result.as_json()
    return result if result["results"] else None


def _headers(error: ServiceError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(error.retry_after_s or DEFAULT_RETRY_AFTER_S)
    return headers


async def on_service_error(request: Request, error: Exception) -> Response:
    """Answer a failed request; FastAPI's handler for `ServiceError`."""
    assert isinstance(error, ServiceError)  # noqa: S101 - the type FastAPI registered it for
    return problem_response(request.scope, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a request that met no route; FastAPI's handler for `HTTPException`."""
    assert isinstance(error, HTTPException)  # noqa: S101 - the type FastAPI registered it for
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response = problem_response(
            request.scope, MethodNotAllowed("This address does not answer that method.")
        )
        response.headers.update(error.headers or {})
        return response
    return problem_response(request.scope, RouteNotFound("There is nothing at this address."))
