"""The endpoints for stored responses and models, in the vendor's shapes."""

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from simulator.ids import Ids
from simulator.refusals import Refusal, Refused, compact, invalid
from simulator.state import State
from simulator.validation import MODELS, check_key

_PAGE_MAX: Final = 100
# Any fixed time will do.
_MODELS_CREATED_S: Final = 1_780_000_000

Read = Callable[[State, Request], dict[str, Any]]
Endpoint = Callable[[Request], Response]


def endpoint(state: State, read: Read) -> Endpoint:
    """An endpoint that checks the key and answers with what `read` returns."""

    def answer(request: Request) -> Response:
        try:
            check_key(request.headers, state.knobs.key)
            return _json_reply(200, read(state, request), Ids().plain())
        except Refused as exc:
            refusal = exc.refusal
        if refusal.slug == "not_found" and read is not get_input_items:
            # The documented body: nested, with a type but no code.
            error = {"error": {"message": refusal.message, "type": refusal.code}}
            return _json_reply(refusal.status, error, Ids().plain())
        return error_reply(refusal)

    return answer


def get_response(state: State, request: Request) -> dict[str, Any]:
    """A whole stored response."""
    return state.find(request.path_params["id"]).response


def delete_response(state: State, request: Request) -> dict[str, Any]:
    """Remove a stored response. The vendor's answer has no `object` field."""
    response_id = state.find(request.path_params["id"]).response["id"]
    del state.stored[response_id]
    return {"deleted": True, "id": response_id}


def get_input_items(state: State, request: Request) -> dict[str, Any]:
    """The messages of a stored request, newest first unless asked otherwise."""
    stored, asked = state.find(request.path_params["id"]), request.query_params
    limit = asked.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= _PAGE_MAX:
        raise invalid(f"Invalid 'limit': must be from 1 to {_PAGE_MAX}, got {limit}.")
    items = stored.input_items[:: 1 if asked.get("order") == "asc" else -1]
    ids = [item["id"] for item in items]
    start = ids.index(asked["after"]) + 1 if asked.get("after") in ids else 0
    data, page = items[start : start + int(limit)], ids[start : start + int(limit)]
    shown = {"first_id": page[0], "last_id": page[-1]} if page else {}
    response = stored.response
    # Milliseconds here, seconds everywhere else: the vendor's way.
    shown |= {"id": response["id"], "model": response["model"]}
    shown |= {"created_at": response["created_at"] * 1000, "has_more": ids[-1:] != page[-1:]}
    return {"data": data, "previous_response_id": stored.previous_response_id, **shown}


def get_models(_: State, _request: Request) -> dict[str, Any]:
    """The models that this simulator accepts."""
    fields = {"object": "model", "created": _MODELS_CREATED_S, "owned_by": "system"}
    return {"object": "list", "data": [{"id": name} | fields for name in MODELS]}


def error_reply(refusal: Refusal) -> Response:
    """An error in the vendor's flat shape."""
    request_id = Ids().plain()
    return _json_reply(refusal.status, refusal.flat(request_id), request_id)


def _json_reply(status: int, body: dict[str, Any], request_id: str) -> Response:
    data, headers = compact(body).encode("utf-8", "replace"), {"x-request-id": request_id}
    return Response(data, status, headers=headers, media_type="application/json")
