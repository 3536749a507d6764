"""A `response.failed` event made here, for an answer whose upstream broke. Pure.

It has the shape of OpenAI's own, so that clients which wait for a terminal event find one, and
holds the items that were done, since they were paid for.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.errors import ServiceError
from app.models import Event, json_bytes
from app.upstream.answer import ITEM_DONE
from app.upstream.failures import FAILED
from app.upstream.lenient import Json, as_object, parse

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
    begun = as_object(next(_members(events, "response"), None))
    done = _members([event for event in events if event.type == ITEM_DONE], "item")
    response = {
        **DEFAULTS,
        "id": unknown_id,
        "object": "response",
        "created_at": created_at,
        **begun,
        "status": "failed",
        "error": {"code": error.code, "message": error.detail},
        "model": begun.get("model") or model,
        "output": list(done),
    }
    numbers = (one for one in _members(reversed(events), "sequence_number") if type(one) is int)
    data = {"type": FAILED, "sequence_number": next(numbers, -1) + 1, "response": response}
    return Event(FAILED, json_bytes(data))


def _members(events: Iterable[Event], name: str) -> Iterator[Any]:
    """What the events have under this name."""
    said = (as_object(parse(event.data)).get(name) for event in events)
    return (value for value in said if value is not None)
