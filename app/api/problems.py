"""Errors as responses: `application/problem+json` (RFC 9457), and OpenAI's shape under `/v1`."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from app import errors, telemetry
from app.api.schemas import OpenAIError
from app.errors import FieldError, InvalidRequest, ServiceError
from app.results import Problem
from app.runs.run import Run
from app.search import result_of

PROBLEM, JSON = "application/problem+json", "application/json"

FIELD_ERRORS_MAX = 20  # That are listed; who sends more has another problem.
REASONS = {"extra_forbidden": "Unknown field.", "missing": "This field is required."}
"""Pydantic's error types whose own message is less clear."""

OPENAI_HINT = " OpenAI clients need a base URL that ends in /v1, and the Responses API."
"""For base URLs that lack `/v1` or have more, and for clients of other APIs."""


def path_of(scope: Scope) -> str:
    """The path without the prefix under which the service is served (ASGI: `root_path`)."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def run_of(scope: Scope) -> Run | None:
    """The search that a request is about, unless it was refused and so does not exist."""
    run: Run | None = scope["state"].get("run")
    return None if run is None or (run.error and not run.was_admitted) else run


def problem_response(scope: Scope, error: ServiceError) -> Response:
    """The response that says what went wrong, in the shape that clients of this path read."""
    scope["state"]["error"] = error
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, errors.Unauthorized) else {}
    if error.status in (429, 503):
        headers["Retry-After"] = str(error.wait_s)
    if f"{path_of(scope)}/".startswith("/v1/"):
        # Some SDKs repeat a request by themselves unless told not to.
        headers["X-Should-Retry"] = str(error.retryable and error.billed == "no").lower()
        return Response(OpenAIError.of(error).model_dump_json(), error.status, headers, JSON)
    run = run_of(scope)
    # What had been found before the failure was paid for.
    partial = result_of(run) if run and run.ended and run.error is error else None
    body = Problem.of(
        error,
        request_id=telemetry.request_id.get(),
        search_id=run.id if run else None,
        result=partial if partial and partial.results else None,
    )
    return Response(body.model_dump_json(), error.status, headers, PROBLEM)


def invalid_fields(exc: ValidationError | RequestValidationError, skip: int = 0) -> InvalidRequest:
    """Name each refused field with the reason, never with its value; `skip` parts of the place."""
    fields = [
        FieldError(
            ".".join(str(part)[:64] for part in error["loc"][skip:]) or "body",
            REASONS.get(error["type"], error["msg"].removeprefix("Value error, ")),
        )
        for error in exc.errors()[:FIELD_ERRORS_MAX]
    ]
    return InvalidRequest("A field is not valid.", fields=fields)


async def on_error(request: Request, exc: Exception) -> Response:
    """FastAPI's handler for our errors, its own of parameters, and Starlette's of addresses."""
    scope = request.scope
    hint = OPENAI_HINT if path_of(scope).endswith(("/responses", "/completions")) else ""
    match exc:
        case ServiceError():
            return problem_response(scope, exc)
        case RequestValidationError():
            return problem_response(scope, invalid_fields(exc, skip=1))
        case HTTPException(status_code=405):
            refusal = errors.MethodNotAllowed(f"This address does not have that method.{hint}")
            response = problem_response(scope, refusal)
            # All methods of the address (RFC 9110 §10.2.1): Starlette names those of one route.
            path = getattr(scope.get("route"), "path", "")
            methods = {*(exc.headers or {}).get("Allow", "").split(", ")}
            methods |= {name.upper() for name in request.app.openapi()["paths"].get(path, ())}
            response.headers["Allow"] = ", ".join(sorted(methods))
            return response
    return problem_response(scope, errors.RouteNotFound(f"There is nothing at this address.{hint}"))
