"""Errors as callers read them: RFC 9457 problem details, and OpenAI's shape on `/v1`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.errors import ServiceError

OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
SERVER_ERRORS = 500


def problem(
    error: ServiceError,
    *,
    request_id: str,
    search_id: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `application/problem+json` body of an error (RFC 9457 §3); absent members left out."""
    body: dict[str, Any] = {
        "type": f"urn:imagesearch:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
        "billed": error.billed,
        "retry_after": error.wait_s,
        "request_id": request_id,
        "search_id": search_id,
        "errors": [asdict(field) for field in error.fields] or None,
        "upstream": asdict(error.upstream) if error.upstream else None,
        "result": result,
    }
    return {name: value for name, value in body.items() if value is not None}


def openai_error(error: ServiceError) -> dict[str, Any]:
    """The body of an error in OpenAI's shape, with our codes; `param` is the first field."""
    fields = "; ".join(f"{field.field}: {field.reason}" for field in error.fields)
    other = "server_error" if error.status >= SERVER_ERRORS else "invalid_request_error"
    return {
        "error": {
            "message": f"{error.detail} {fields}" if fields else error.detail,
            "type": OPENAI_TYPES.get(error.status, other),
            "param": error.fields[0].field if error.fields else None,
            "code": error.code,
        }
    }
