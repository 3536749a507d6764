"""Errors as responses: `application/problem+json` (RFC 9457), and OpenAI's shape under `/v1`."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from app import telemetry
from app.errors import FieldError, InvalidRequest, MethodNotAllowed, RouteNotFound, ServiceError
from app.models import json_bytes
from app.problems import openai_error, problem
from app.runs import Run

PROBLEM = "application/problem+json"
TOO_OFTEN_OR_BUSY = frozenset({429, 503})

FIELD_ERRORS_MAX = 20
"""Most refused fields that are listed; who sends more has another problem."""

REASONS = {"extra_forbidden": "Unknown field.", "missing": "This field is required."}
"""Pydantic's error types whose own message is less clear."""


def path_of(scope: Scope) -> str:
    """The path without the prefix under which the service is served (ASGI: `root_path`)."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def run_of(scope: Scope) -> Run | None:
    """The search that a request is about, unless it was refused and so does not exist."""
    run: Run | None = scope.get("state", {}).get("run")
    return None if run is None or (run.error and not run.was_admitted) else run


def problem_response(scope: Scope, error: ServiceError) -> Response:
    """The response that says what went wrong, in the shape that clients of this path read."""
    scope.setdefault("state", {})["error"] = error
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}  # noqa: PLR2004
    if error.status in TOO_OFTEN_OR_BUSY:
        headers["Retry-After"] = str(error.wait_s)
    if f"{path_of(scope)}/".startswith("/v1/"):
        # Some SDKs repeat a request by themselves unless told not to.
        repeat = error.retryable and error.billed == "no"
        headers["X-Should-Retry"] = str(repeat).lower()
        content, media_type = json_bytes(openai_error(error)), "application/json"
    else:
        content, media_type = _problem(scope, error), PROBLEM
    return Response(content, error.status, headers, media_type)


def _problem(scope: Scope, error: ServiceError) -> bytes:
    run = run_of(scope)
    partial = run.result if run and run.ended and run.error is error else None
    body = problem(
        error,
        request_id=telemetry.request_id.get(),
        search_id=run.id if run else None,
        # What had been found before the failure was paid for.
        result=partial.model_dump(mode="json") if partial and partial.results else None,
    )
    return json_bytes(body)


def invalid_fields(exc: ValidationError | RequestValidationError, skip: int = 0) -> InvalidRequest:
    """Name each refused field with the reason, never with its value; `skip` parts of the place."""
    fields = [
        FieldError.named(
            ".".join(str(part)[:64] for part in error["loc"][skip:]) or "body",
            REASONS.get(error["type"], error["msg"].removeprefix("Value error, ")),
        )
        for error in exc.errors()[:FIELD_ERRORS_MAX]
    ]
    return InvalidRequest("A field is not valid.", fields=fields)


async def on_service_error(request: Request, exc: Exception) -> Response:
    """FastAPI's handler for `ServiceError`."""
    assert isinstance(exc, ServiceError)  # noqa: S101 - for the type checker
    return problem_response(request.scope, exc)


async def on_validation_error(request: Request, exc: Exception) -> Response:
    """FastAPI's handler for parameters that it found invalid."""
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - for the type checker
    return problem_response(request.scope, invalid_fields(exc, skip=1))


async def on_http_error(request: Request, exc: Exception) -> Response:
    """FastAPI's handler for requests that match no route."""
    assert isinstance(exc, HTTPException)  # noqa: S101 - for the type checker
    if exc.status_code != 405:  # noqa: PLR2004
        error: ServiceError = RouteNotFound("There is nothing at this address.")
        return problem_response(request.scope, error)
    error = MethodNotAllowed("This address does not have that method.")
    response = problem_response(request.scope, error)
    response.headers["Allow"] = ", ".join(_methods(request)) or (exc.headers or {}).get("Allow", "")
    return response


def _methods(request: Request) -> list[str]:
    """All methods of an address (RFC 9110 §10.2.1); Starlette knows those of its first route."""
    route = request.scope.get("route")
    paths = request.app.openapi()["paths"]
    return sorted(method.upper() for method in paths.get(getattr(route, "path", ""), {}))
