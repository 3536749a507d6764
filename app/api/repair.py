"""Puts right what makes the `responses.stream()` helper of openai-node throw; nothing else. Pure.

Seen with openai-node 7.57, which applies every event to a copy of the response:

- reasoning text needs a part that was announced, and a number; DashScope sends neither;
- an item must keep the `output_index` that it was added under, and DashScope's drifts;
- a piece must name its item: where `item_id` is missing, the item last added there is meant.
"""

from app.api.sse import frame
from app.models import Event, json_bytes
from app.upstream.answer import ITEM_ADDED
from app.upstream.lenient import Json, as_object, as_text, parse_object

CONTENT = ("response.content_part.added", "reasoning_text", "content_index")
SUMMARY = ("response.reasoning_summary_part.added", "summary_text", "summary_index")
PARTS = {  # The part that an event needs: its announcement, type, and the member that numbers it.
    CONTENT[0]: CONTENT,
    SUMMARY[0]: SUMMARY,
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

    def encode(self, event: Event, _: int) -> list[bytes]:
        """The frames of an event and of what must be before it."""
        return [piece for one in self.apply(event) for piece in frame(one)]

    def apply(self, event: Event) -> list[Event]:
        """The event, as it came if it does no harm, and what must be before it."""
        data = parse_object(event.data) or {}
        index = data.get("output_index")
        if not isinstance(index, int):
            return [event]
        before = dict(data)
        if "item" in data:
            item_id = as_text(as_object(data["item"]).get("id"))
        else:
            item_id = as_text(data.get("item_id")) or self._item_at.get(index, "")
            data["item_id"] = item_id
        if event.type == ITEM_ADDED and item_id:
            self._index_of[item_id], self._item_at[index] = index, item_id
        if item_id not in self._index_of:
            return [event]
        data["output_index"] = self._index_of[item_id]
        announced = self._announcement(event.type, data) if event.type in PARTS else []
        changed = data != before
        return [*announced, Event(event.type, json_bytes(data)) if changed else event]

    def _announcement(self, name: str, data: Json) -> list[Event]:
        """The part that a piece of reasoning belongs to, if nobody has announced it."""
        announcement, kind, number = PARTS[name]
        place = (data["item_id"], number, str(data.setdefault(number, 0)))
        known = name == announcement or place in self._announced
        self._announced.add(place)
        part = {"type": kind, "text": ""}
        shared = {key: data[key] for key in ("item_id", "output_index", number)}
        shared |= {"sequence_number": data.get("sequence_number", 0), "part": part}
        return [] if known else [Event(announcement, json_bytes({"type": announcement} | shared))]
