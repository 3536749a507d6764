"""The last event of an answer whose upstream broke off: a `response.failed` of our own. Pure.

In the shape of OpenAI's own event, so that clients which wait for a terminal event find one. It
holds what had been done so far, since it was paid for.
"""

import json
from collections.abc import Sequence
from typing import Any

from app.errors import ServiceError
from app.models import Event
from app.upstream.answer import ITEM_DONE
from app.upstream.failures import FAILED

Json = dict[str, Any]

UNTOLD: Json = {
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
"""Members that OpenAI's response object always has, for answers that broke before telling them."""


def made_failure(
    events: Sequence[Event], error: ServiceError, *, model: str, unknown_id: str, created_at: int
) -> Event:
    """The `response.failed` that ends these events of one answer.

    Its response is the one they speak of; `unknown_id` and `created_at` stand in where none of
    them told.
    """
    begun = _begun(events)
    items = [_object(event.data).get("item") for event in events if event.type == ITEM_DONE]
    response = {
        **UNTOLD,
        "id": unknown_id,
        "object": "response",
        "created_at": created_at,
        **begun,
        "status": "failed",
        "error": {"code": error.code, "message": error.detail},
        "model": begun.get("model") or model,
        "output": [item for item in items if isinstance(item, dict)],
    }
    data = {"type": FAILED, "sequence_number": _next_number(events), "response": response}
    return Event(FAILED, json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode())


def _begun(events: Sequence[Event]) -> Json:
    """The response as the first event that holds one has it."""
    for event in events:
        response = _object(event.data).get("response")
        if isinstance(response, dict):
            return response
    return {}


def _next_number(events: Sequence[Event]) -> int:
    for event in reversed(events):
        number = _object(event.data).get("sequence_number")
        if isinstance(number, int):
            return number + 1
    return 0


def _object(data: bytes) -> Json:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
