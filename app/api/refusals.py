"""How each operation may refuse: statuses, codes and titles from the error tree, by reference.

Who may raise what stands here and nowhere else; what a leaf means is the tree's.
"""

from typing import Any

from app.api.headers import IF_ANY, RATE, Operation, sent
from app.api.problems import OPENAI_PREFIX, PROBLEM
from app.errors import (
    BUSY,
    BudgetExceeded,
    Forbidden,
    HeadTooLarge,
    ImageTooLarge,
    ImageTypeUnsupported,
    Internal,
    InvalidRequest,
    MalformedBody,
    NotAcceptable,
    OriginNotAllowed,
    Overloaded,
    RateLimited,
    RouteNotFound,
    SearchNotFound,
    ServiceError,
    Unauthorized,
    UpstreamError,
    leaves,
)

Json = dict[str, Any]
Leaves = tuple[type[ServiceError], ...]

ANY: Leaves = (HeadTooLarge, Internal)
IDENTIFIED: Leaves = (Unauthorized, OriginNotAllowed)
COUNTED: Leaves = (*IDENTIFIED, RateLimited)
PICTURES: Leaves = (InvalidRequest, ImageTooLarge, ImageTypeUnsupported, Overloaded)
STARTED: Leaves = (*COUNTED, *PICTURES, BudgetExceeded)
UPSTREAM = leaves(UpstreamError)
"""Where the status waits for the upstream's word."""

KEPT: Leaves = (*IDENTIFIED, SearchNotFound)

RAISED: dict[Operation, Leaves] = {
    ("post", "/search"): (*STARTED, MalformedBody, *UPSTREAM),
    ("post", "/search/stream"): (*STARTED, MalformedBody, SearchNotFound, *UPSTREAM),
    ("get", "/search/stream"): (*STARTED, NotAcceptable, SearchNotFound),
    ("get", "/search/{search_id}"): KEPT,
    ("get", "/search/{search_id}/stream"): (*KEPT, InvalidRequest),
    ("delete", "/search/{search_id}"): KEPT,
    ("post", "/v1/responses"): (*STARTED, MalformedBody, *UPSTREAM),
    ("get", "/v1/responses/{response_id}"): (*KEPT, InvalidRequest, *UPSTREAM),
    ("delete", "/v1/responses/{response_id}"): (*KEPT, InvalidRequest, *UPSTREAM),
    ("get", "/v1/responses/{response_id}/input_items"): (*KEPT, InvalidRequest, *UPSTREAM),
    ("get", "/v1/models"): IDENTIFIED,
    ("post", "/tokens"): (
        *(Unauthorized, Forbidden, RouteNotFound, RateLimited),
        *(MalformedBody, ImageTooLarge, InvalidRequest, Overloaded),
    ),
    ("get", "/healthz"): (),
    ("get", "/readyz"): (),
    ("get", "/metrics"): (),
}
"""A leaf for each status that an operation may refuse with, beside `ANY`."""

UNCOUNTED: Leaves = (*IDENTIFIED, NotAcceptable, HeadTooLarge)
"""Told before the request could count to a rate."""


def refusals_of(operation: Operation) -> Json:
    """The answers by which an operation refuses, by status, as references to `components`."""
    statuses = {kind.status for kind in RAISED[operation] + ANY}
    return {
        str(status): {"$ref": f"#/components/responses/{_name(operation, status)}"}
        for status in statuses
    }


def refusal_components() -> Json:
    """The answers that all of those refer to."""
    return {
        _name(operation, kind.status): _in_openais_shape(kind.status)
        if _is_openais(operation, kind.status)
        else _as_problem(kind.status)
        for operation, raised in RAISED.items()
        for kind in raised + ANY
    }


def _name(operation: Operation, status: int) -> str:
    return f"{'OpenAIError' if _is_openais(operation, status) else 'Problem'}{status}"


def _is_openais(operation: Operation, status: int) -> bool:
    # A head that is too large is refused before its path is read.
    return operation[1].startswith(OPENAI_PREFIX) and status != HeadTooLarge.status


def _as_problem(status: int) -> Json:
    told = {"status": {"const": status}, "code": _codes(status)}
    answer = _refusal(status, PROBLEM, "Problem", told)
    if _counted(status):
        answer["headers"] |= sent("X-Search-ID" + IF_ANY)
    return answer


def _in_openais_shape(status: int) -> Json:
    told = {"error": {"type": "object", "properties": {"code": _codes(status)}}}
    answer = _refusal(status, "application/json", "OpenAIError", told)
    answer["headers"] |= sent("X-Should-Retry")
    return answer


def _refusal(status: int, media_type: str, model: str, told: Json) -> Json:
    schema = [{"$ref": f"#/components/schemas/{model}"}, {"type": "object", "properties": told}]
    return {
        "description": "\n".join(f"- `{kind.code}`: {kind.title}." for kind in _all(status)),
        "headers": sent("Cache-Control", *_headers(status)),
        "content": {media_type: {"schema": {"allOf": schema}}},
    }


def _headers(status: int) -> tuple[str, ...]:
    names = RATE if _counted(status) else ()
    if status in BUSY:
        names = ("Retry-After", *names)
    return ("WWW-Authenticate", *names) if status == Unauthorized.status else names


def _counted(status: int) -> bool:
    return all(kind.status != status for kind in UNCOUNTED)


def _codes(status: int) -> Json:
    return {"type": "string", "enum": [kind.code for kind in _all(status)]}


def _all(status: int) -> list[type[ServiceError]]:
    return [kind for kind in leaves() if kind.status == status]
