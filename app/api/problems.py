"""Errors out: every failure of a request as `application/problem+json` (RFC 9457).

Under `/v1` they are what OpenAI's clients read.
"""

from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from app import telemetry
from app.errors import (
    BUSY,
    MethodNotAllowed,
    RouteNotFound,
    ServiceError,
    Unauthorized,
    openai_error,
    problem,
)
from app.models import json_bytes
from app.runs import Run

OPENAI_PREFIX = "/v1/"
PROBLEM = "application/problem+json"

REFUSAL = "imagesearch.refusal"
"""The ASGI extension with which a server hands on a request that it could not read: the error."""


def remember_run(scope: Scope, run: Run) -> None:
    """Note which search a request is about, for its headers, its log line and its errors."""
    scope.setdefault("state", {})["run"] = run


def run_of(scope: Scope) -> Run | None:
    """Return the search that a request was found to be about, if it can be found again."""
    run: Run | None = scope.get("state", {}).get("run")
    return None if run is None or run.refused else run


def forget_run(scope: Scope) -> None:
    """Let an answer say nothing of the search: something about it may be what is wrong."""
    scope.get("state", {}).pop("run", None)


def error_of(scope: Scope) -> type[ServiceError] | None:
    """Return the kind of error that a request was answered with, if it was."""
    error: type[ServiceError] | None = scope.get("state", {}).get("error")
    return error


def problem_response(scope: Scope, error: ServiceError) -> Response:
    """Render an error, with the search's id and what it had found, if it got that far."""
    scope.setdefault("state", {})["error"] = type(error)
    if f"{scope['path']}/".startswith(OPENAI_PREFIX):
        return _openai_response(error)
    run = run_of(scope)
    body = problem(
        error,
        request_id=telemetry.request_id.get(),
        search_id=run.id if run else None,
        result=_found_before(run, error),
    )
    return Response(
        json_bytes(body),
        status_code=error.status,
        media_type=PROBLEM,
        headers=_headers(error),
    )


def refusal_of(scope: Scope) -> Response | None:
    """Refuse what the server could not read, and have the connection closed."""
    error: ServiceError | None = (scope.get("extensions") or {}).get(REFUSAL)
    if error is None:
        return None
    response = problem_response(scope, error)
    response.headers["Connection"] = "close"
    return response


def _openai_response(error: ServiceError) -> Response:
    """Render an error for OpenAI's clients, which try again by themselves unless told not to."""
    try_again = error.retryable and not error.may_be_billed
    return Response(
        json_bytes(openai_error(error)),
        status_code=error.status,
        media_type="application/json",
        headers=_headers(error) | {"X-Should-Retry": str(try_again).lower()},
    )


def _found_before(run: Run | None, error: ServiceError) -> dict[str, Any] | None:
    """Return what a search had found before it failed with this error: it was paid for."""
    if run is None or not run.ended or run.error is not error:
        return None
    result = run.result.as_json()
    return result if result["results"] else None


def _headers(error: ServiceError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in BUSY:
        headers["Retry-After"] = str(error.wait_s)
    return headers


def _methods(request: Request) -> list[str]:
    """Return every method of an address, which may have several routes (RFC 9110 §10.2.1)."""
    path = request.url.path
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    # One that stands there word for word is no search's address (OpenAPI 3.1, Paths Object).
    exact = [route for route in routes if route.path == path]
    matching = exact or [route for route in routes if route.path_regex.match(path)]
    return sorted({method for route in matching for method in route.methods or ()})


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
        response.headers["Allow"] = ", ".join(_methods(request))
        return response
    return problem_response(request.scope, RouteNotFound("There is nothing at this address."))
