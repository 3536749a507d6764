"""The response object that the events of an answer make, finished or not. Pure.

For an answer that broke, a `response.failed` event is made of it, in the shape of OpenAI's own:
clients wait for a terminal event. It holds the items that were done, since they were paid for.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.errors import ServiceError
from app.models import Event, json_bytes
from app.upstream.answer import ITEM_DONE, TERMINAL_EVENTS
from app.upstream.failures import FAILED
from app.upstream.lenient import Json, as_object, parse

DEFAULTS: Json = {  # Which OpenAI's response object always has, also when an answer broke early.
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}


def response_so_far(events: Sequence[Event], **defaults: Any) -> Json:
    """The response as its last event has it; before the end, with the items that are done."""
    whole = (event for event in reversed(events) if not event.type.endswith(".delta"))
    latest = as_object(next(_members(whole, "response"), None))
    response = {**DEFAULTS, **defaults, "object": "response", "error": None, **latest}
    if not (events and events[-1].type in TERMINAL_EVENTS):
        done = [event for event in events if event.type == ITEM_DONE]
        response["output"] = list(_members(done, "item"))
    return response


def made_end(events: Sequence[Event], error: ServiceError | None, **defaults: Any) -> Event:
    """The `response.failed` that ends these events; without an error the answer was cancelled.

    `defaults` are the members `id`, `created_at` and `model`, where no event has them.
    """
    response = response_so_far(events, **defaults)
    response["status"] = "failed" if error else "cancelled"
    response["error"] = {"code": error.code, "message": error.detail} if error else None
    numbers = (one for one in _members(reversed(events), "sequence_number") if type(one) is int)
    data = {"type": FAILED, "sequence_number": next(numbers, -1) + 1, "response": response}
    return Event(FAILED, json_bytes(data))


def events_until(events: Sequence[Event], sequence_number: int) -> int:
    """How many events there are up to the last whose `sequence_number` is at most this."""
    for count in range(len(events), 0, -1):
        number = as_object(parse(events[count - 1].data)).get("sequence_number")
        # The upstream's numbers jump, and some events have none.
        if type(number) is int and number <= sequence_number:
            return count
    return 0


def _members(events: Iterable[Event], name: str) -> Iterator[Any]:
    """What the events have under this name."""
    said = (as_object(parse(event.data)).get(name) for event in events)
    return (value for value in said if value is not None)
