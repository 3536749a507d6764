"""What one simulator keeps between calls, and the endpoints that show it."""

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from simulator.connection import Connection
from simulator.gallery import SearchImage
from simulator.plan import Knobs
from simulator.question import MODELS, check_key
from simulator.record import Record
from simulator.refusals import Refusal, Refused, compact

# The vendor keeps responses for seven days. Their input holds whole data URLs.
_RESPONSES_MAX: Final = 200


class Gate:
    """Named gates, which tests open. One that is opened before anybody waits stays open."""

    def __init__(self) -> None:
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def open(self, tag: str) -> None:
        """Let every stream pass that waits, or will wait, at this gate."""
        self._gates[tag].set()

    def at(self, tag: str) -> asyncio.Event:
        """The event that is set when this gate is open."""
        return self._gates[tag]


@dataclass(frozen=True, slots=True)
class Stored:
    """One answered request."""

    response: dict[str, Any]
    input_items: list[dict[str, Any]]
    images: list[SearchImage]
    previous_response_id: str | None


@dataclass(frozen=True, slots=True)
class State:
    """Given to every endpoint.

    Attributes:
        stored: the last responses by id.
        tags: calls of scenarios that are limited by `times`.
        connections: of the calls being answered.
    """

    knobs: Knobs
    record: Record = field(default_factory=Record)
    gate: Gate = field(default_factory=Gate)
    stored: dict[object, Stored] = field(default_factory=dict)
    tags: Counter[str] = field(default_factory=Counter)
    connections: set[Connection] = field(default_factory=set)

    def store(self, stored: Stored) -> None:
        """Keep a response; the oldest is dropped."""
        self.stored[stored.response["id"]] = stored
        if len(self.stored) > _RESPONSES_MAX:
            del self.stored[next(iter(self.stored))]

    def find(self, request: Request) -> Stored:
        """The response in the request's path; raises `Refused` if there is none."""
        response_id = request.path_params["id"]
        if response_id not in self.stored:
            message = f"Response with id '{response_id}' not found."
            raise Refused(Refusal("not_found", 404, "InvalidParameter", message))
        return self.stored[response_id]

    def hang_up(self) -> None:
        """Break every open call: the server is stopping."""
        for connection in tuple(self.connections):
            connection.reset()


Read = Callable[[State, Request], dict[str, Any]]


def endpoint(state: State, read: Read) -> Callable[[Request], Response]:
    """An endpoint that checks the key and answers with what `read` returns."""

    def answer(request: Request) -> Response:
        try:
            check_key(request.headers, state.knobs.key)
            return _json_reply(200, read(state, request), str(uuid.uuid4()))
        except Refused as exc:
            refusal = exc.refusal
        if refusal.slug != "not_found" or read is get_input_items:
            return error_reply(refusal)
        # The documented body: nested, with a type but no code.
        error = {"error": {"message": refusal.message, "type": refusal.code}}
        return _json_reply(refusal.status, error, str(uuid.uuid4()))

    return answer


def get_models(_: State, _request: Request) -> dict[str, Any]:
    """The models that this simulator accepts."""
    fields = {"object": "model", "created": 1_780_000_000, "owned_by": "system"}
    return {"object": "list", "data": [{"id": name} | fields for name in MODELS]}


def get_response(state: State, request: Request) -> dict[str, Any]:
    """A whole stored response."""
    return state.find(request).response


def delete_response(state: State, request: Request) -> dict[str, Any]:
    """Remove a stored response. The vendor's answer has no `object` field."""
    response_id = state.find(request).response["id"]
    del state.stored[response_id]
    return {"deleted": True, "id": response_id}


def get_input_items(state: State, request: Request) -> dict[str, Any]:
    """The messages of a stored request, newest first, on a single page."""
    stored = state.find(request)
    items, response = stored.input_items[::-1], stored.response
    page = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
    page |= {"id": response["id"], "model": response["model"], "has_more": False}
    # Milliseconds here, seconds everywhere else: the vendor's way.
    page["created_at"] = response["created_at"] * 1000
    return {"data": items, "previous_response_id": stored.previous_response_id, **page}


def error_reply(refusal: Refusal) -> Response:
    """An error in the vendor's flat shape."""
    request_id = str(uuid.uuid4())
    return _json_reply(refusal.status, refusal.flat(request_id), request_id)


def _json_reply(status: int, body: dict[str, Any], request_id: str) -> Response:
    data, headers = compact(body).encode("utf-8", "replace"), {"x-request-id": request_id}
    return Response(data, status, headers=headers, media_type="application/json")
