"""Puts right what makes the `responses.stream()` helper of openai-node throw; nothing else. Pure.

Seen with openai-node 7.57 (`internal/responses/response-accumulator.mjs`), which keeps a copy of
the response and applies every event to it:

- a piece of reasoning needs its part to be there, and DashScope neither announces it nor numbers
  it: the announcement is put before the first piece, and `content_index` (`summary_index`) is 0;
- an item must keep the `output_index` that it was added under, and DashScope's drifts: it is held;
- a piece must name its item: where `item_id` is missing, the item last added under that index is
  meant.
"""

import json
from typing import Any, NamedTuple

from app.models import Event
from app.upstream.answer import ITEM_DONE

Json = dict[str, Any]
ITEM_ADDED = "response.output_item.added"


class Part(NamedTuple):
    """How a kind of reasoning is announced: the event, the part's type, and what numbers it."""

    event: str
    type: str
    number: str


CONTENT = Part("response.content_part.added", "reasoning_text", "content_index")
SUMMARY = Part("response.reasoning_summary_part.added", "summary_text", "summary_index")
PARTS = {
    CONTENT.event: CONTENT,
    SUMMARY.event: SUMMARY,
    "response.reasoning_text.delta": CONTENT,
    "response.reasoning_text.done": CONTENT,
    "response.reasoning_summary_text.delta": SUMMARY,
    "response.reasoning_summary_text.done": SUMMARY,
}


class StreamRepair:
    """The state of one stream; feed it the events in their order."""

    def __init__(self) -> None:
        self._index_of: dict[str, int] = {}
        self._item_at: dict[int, str] = {}
        self._announced: set[tuple[str, str, str]] = set()

    def apply(self, event: Event) -> list[Event]:
        """The event, as it came if it does no harm, and what must be before it."""
        found = _object(event.data)
        if found is None or type(found.get("output_index")) is not int:
            return [event]
        before = dict(found)
        self._settle(event.type, found)
        announced = self._announcement(event.type, found)
        mended = event if found == before else _event(event.type, found)
        return [*announced, mended]

    def _settle(self, name: str, found: Json) -> None:
        """Give the event the index and the item that its item was added with."""
        index = found["output_index"]
        if name in (ITEM_ADDED, ITEM_DONE):
            item = found.get("item")
            item_id = item.get("id") if isinstance(item, dict) else None
        else:
            item_id = found.get("item_id") or self._item_at.get(index)
            if item_id is not None:
                found["item_id"] = item_id
        if not isinstance(item_id, str):
            return
        if name == ITEM_ADDED:
            self._index_of[item_id] = index
            self._item_at[index] = item_id
        found["output_index"] = self._index_of.get(item_id, index)

    def _announcement(self, name: str, found: Json) -> list[Event]:
        """The part that a piece of reasoning belongs to, if nobody has announced it."""
        part = PARTS.get(name)
        item_id = str(found.get("item_id"))
        if part is None or item_id not in self._index_of:
            return []
        number = found.setdefault(part.number, 0)
        place = (item_id, part.number, str(number))
        known = place in self._announced
        self._announced.add(place)
        if known or name == part.event:
            return []
        announced = {
            "type": part.event,
            "sequence_number": found.get("sequence_number", 0),
            "item_id": item_id,
            "output_index": found["output_index"],
            part.number: number,
            "part": {"type": part.type, "text": ""},
        }
        return [_event(part.event, announced)]


def _event(name: str, found: Json) -> Event:
    return Event(name, json.dumps(found, ensure_ascii=True, separators=(",", ":")).encode())


def _object(data: bytes) -> Json | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
