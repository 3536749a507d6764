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


class Retrieval:
    """The endpoints besides `POST /responses`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def get(self, request: Request) -> Response:
        """A whole stored response."""
        return self._reply(request, lambda response_id: self._state.find(response_id).response)

    async def delete(self, request: Request) -> Response:
        """Remove a stored response. The vendor's answer has no `object` field."""

        def remove(response_id: str) -> dict[str, Any]:
            self._state.find(response_id)
            del self._state.stored[response_id]
            return {"deleted": True, "id": response_id}

        return self._reply(request, remove)

    async def input_items(self, request: Request) -> Response:
        """The messages of a stored request, newest first unless asked otherwise."""
        return self._reply(request, lambda response_id: self._page(response_id, request))

    async def models(self, request: Request) -> Response:
        """The models that this simulator accepts."""
        fields = {"object": "model", "created": _MODELS_CREATED_S, "owned_by": "system"}
        models = [{"id": name} | fields for name in MODELS]
        return self._reply(request, lambda _: {"object": "list", "data": models})

    def _reply(self, request: Request, act: Callable[[str], dict[str, Any]]) -> Response:
        try:
            check_key(request.headers, self._state.knobs.key)
            return json_reply(200, act(request.path_params.get("id", "")))
        except Refused as exc:
            refusal = exc.refusal
        if refusal.slug == "not_found" and not request.url.path.endswith("/input_items"):
            # The documented body: nested, with a type but no code.
            error = {"message": refusal.message, "type": refusal.code}
            return json_reply(refusal.status, {"error": error})
        return error_reply(refusal)

    def _page(self, response_id: str, request: Request) -> dict[str, Any]:
        stored, asked = self._state.find(response_id), request.query_params
        limit = asked.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= _PAGE_MAX:
            raise invalid(f"Invalid 'limit': must be from 1 to {_PAGE_MAX}, got {limit}.")
        rising = asked.get("order", "desc") != "desc"
        items = stored.input_items if rising else stored.input_items[::-1]
        ids = [item["id"] for item in items]
        start = ids.index(asked["after"]) + 1 if asked.get("after") in ids else 0
        data = items[start : start + int(limit)]
        return {
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": start + int(limit) < len(items),
            "id": stored.response["id"],
            "model": stored.response["model"],
            # Milliseconds here, seconds everywhere else: the vendor's way.
            "created_at": stored.response["created_at"] * 1000,
            "previous_response_id": stored.previous_response_id,
        }


def json_reply(status: int, body: dict[str, Any], request_id: str | None = None) -> Response:
    """A JSON answer with a request id."""
    headers = {"x-request-id": request_id or Ids().plain()}
    data = compact(body).encode("utf-8", "replace")
    return Response(data, status, headers=headers, media_type="application/json")


def error_reply(refusal: Refusal) -> Response:
    """An error in the vendor's flat shape."""
    request_id = Ids().plain()
    return json_reply(refusal.status, refusal.flat(request_id), request_id)
