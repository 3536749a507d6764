"""A `response.failed` event made here, for an answer whose upstream broke. Pure.

It has the shape of OpenAI's own, so that clients which wait for a terminal event find one, and
holds the items that were done, since they were paid for.
"""

from collections.abc import Sequence

from app.errors import ServiceError
from app.models import Event, json_bytes
from app.upstream.answer import ITEM_DONE
from app.upstream.failures import FAILED
from app.upstream.lenient import Json, as_object, parse_object

DEFAULTS: Json = {
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
"""Members that OpenAI's response object always has, for answers that broke before them."""


def made_failure(
    events: Sequence[Event], error: ServiceError, *, model: str, unknown_id: str, created_at: int
) -> Event:
    """The `response.failed` that ends these events of one answer.

    `unknown_id` and `created_at` are used where no event has the response's own.
    """
    begun = _first_response(events)
    done = [as_object(parse_object(event.data)) for event in events if event.type == ITEM_DONE]
    response = {
        **DEFAULTS,
        "id": unknown_id,
        "object": "response",
        "created_at": created_at,
        **begun,
        "status": "failed",
        "error": {"code": error.code, "message": error.detail},
        "model": begun.get("model") or model,
        "output": [item for one in done if (item := as_object(one.get("item")))],
    }
    data = {"type": FAILED, "sequence_number": _next_number(events), "response": response}
    return Event(FAILED, json_bytes(data))


def _first_response(events: Sequence[Event]) -> Json:
    for event in events:
        if response := as_object(as_object(parse_object(event.data)).get("response")):
            return response
    return {}


def _next_number(events: Sequence[Event]) -> int:
    for event in reversed(events):
        number = as_object(parse_object(event.data)).get("sequence_number")
        if isinstance(number, int):
            return number + 1
    return 0
