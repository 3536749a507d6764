"""What can be asked about stored responses and models, in the vendor's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from simulator.envelopes import compact, flat
from simulator.ids import Ids
from simulator.keys import check_key
from simulator.refusal import Refusal, Refused, invalid
from simulator.validation import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from simulator.state import State

_LIMIT: Final = 20
_LIMIT_MAX: Final = 100
# Any fixed moment will do for when a model came.
_MODELS_CREATED_S: Final = 1_780_000_000


class Retrieval:
    """The endpoints beside `POST /responses`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def get(self, request: Request) -> Response:
        """The stored response, whole."""
        response_id = request.path_params["id"]
        return self._guarded(
            request, lambda: self._state.store.get(response_id).response, _without_code
        )

    async def delete(self, request: Request) -> Response:
        """Forget a stored response. The vendor's answer has no `object` field."""
        response_id = request.path_params["id"]

        def forget() -> dict[str, Any]:
            self._state.store.delete(response_id)
            return {"deleted": True, "id": response_id}

        return self._guarded(request, forget, _without_code)

    async def input_items(self, request: Request) -> Response:
        """The messages of a stored request, newest first unless asked otherwise."""
        return self._guarded(request, lambda: self._page(request), flat)

    async def models(self, request: Request) -> Response:
        """The models that this simulator takes."""
        each = {"object": "model", "created": _MODELS_CREATED_S, "owned_by": "system"}
        listed = [{"id": name} | each for name in MODELS]
        return self._guarded(request, lambda: {"object": "list", "data": listed}, flat)

    def _guarded(
        self,
        request: Request,
        act: Callable[[], dict[str, Any]],
        shape: Callable[[Refusal, str], dict[str, Any]],
    ) -> Response:
        request_id = Ids(None).plain()
        try:
            check_key(request.headers, self._state.knobs.key)
        except Refused as exc:
            return reply(exc.refusal.status, flat(exc.refusal, request_id), request_id)
        try:
            return reply(200, act(), request_id)
        except Refused as exc:
            return reply(exc.refusal.status, shape(exc.refusal, request_id), request_id)

    def _page(self, request: Request) -> dict[str, Any]:
        stored = self._state.store.get(request.path_params["id"])
        items = list(stored.input_items)
        if request.query_params.get("order", "desc") == "desc":
            items.reverse()
        after = request.query_params.get("after")
        places = [place for place, item in enumerate(items) if item["id"] == after]
        rest = items[places[0] + 1 :] if places else items
        limit = _limit(request.query_params.get("limit", str(_LIMIT)))
        data = rest[:limit]
        return {
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(rest) > limit,
            "id": stored.response["id"],
            "model": stored.response["model"],
            # Milliseconds here, seconds everywhere else: the vendor's way.
            "created_at": stored.response["created_at"] * 1000,
            "previous_response_id": stored.previous_response_id,
        }


def reply(status: int, body: dict[str, Any], request_id: str) -> Response:
    """A JSON answer with its request id."""
    return Response(
        compact(body).encode("utf-8", "replace"),
        status,
        headers={"x-request-id": request_id},
        media_type="application/json",
    )


def not_routed(status: int, method: str, path: str) -> Response:
    """The answer to a path or method that does not exist, as recorded from the vendor."""
    refusal = Refusal("route", 404, "Not Found", "Not support")
    if status == 405:  # noqa: PLR2004 - HTTP's own number for the method
        message = f"Method '{method}' is not allowed for '{path}'."
        refusal = Refusal("route", 405, "Method Not Allowed", message)
    request_id = Ids(None).plain()
    return reply(refusal.status, flat(refusal, request_id), request_id)


def _limit(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= _LIMIT_MAX:
        raise Refused(invalid(f"Invalid 'limit': must be from 1 to {_LIMIT_MAX}, got {given}."))
    return int(given)


def _without_code(refusal: Refusal, _: str) -> dict[str, Any]:
    """The shape in which a missing response is told: nested, with a type and no code."""
    return {"error": {"message": refusal.message, "type": refusal.code}}
