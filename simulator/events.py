"""An answer as the vendor's stream events, and events as bytes.

The vendor's framing: line feeds, no space after a field's colon, the HTTP status as a comment
inside every event, ids from 1, and no end marker.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from simulator.answer import Answer, Item, item_text, output_tokens, words
from simulator.plan import Plan
from simulator.record import Charge
from simulator.refusals import bare_response, compact

# Words in one delta: a stream has a few dozen events, like the vendor's samples.
_DELTA_WORDS: Final = 4
# Where the vendor's own samples skip a sequence number.
_GAPS: Final = frozenset({5, 17})
_INSIDE_CHARACTER: Final = re.compile(rb"(?=[\x80-\xbf])")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data`: its JSON. `wait_s`: seconds before it is sent, `charge`: billed then."""

    id: int
    type: str
    data: str
    wait_s: float = 0.0
    charge: Charge | None = None


def build_events(answer: Answer, plan: Plan) -> list[Event]:
    """All events of an answer in order."""
    final, stream = answer.response, _Events(plan)
    # The first two know neither the model nor the tools.
    queued = bare_response(final["id"], final["created_at"], status="queued")
    charge = Charge(input_tokens=answer.charge.input_tokens)
    stream.add("created", response=queued)
    stream.add("in_progress", charge=charge, response=queued | {"status": "in_progress"})
    for index, item in enumerate(final["output"]):
        if item["type"] == "reasoning":
            stream.reasoning(index, item)
        elif item["type"] == "image_search_call":
            stream.call(index, item)
        else:
            stream.message(index, item)
    stream.add(final["status"], response=final)
    if "after_terminal" in plan.names:
        place = {"item_id": final["output"][-1]["id"], "output_index": 0}
        stream.add("output_text.delta", delta="too late", content_index=0, **place)
        stream.add(final["status"], response=final)
    return stream.events


def whole(answer: Answer, plan: Plan) -> Event:
    """A whole answer as if it were one event."""
    wait_s = plan.silence_s * answer.charge.tool_calls
    return Event(1, "response.completed", compact(answer.response), wait_s, answer.charge)


class _Events:
    """Collects events and numbers them."""

    def __init__(self, plan: Plan) -> None:
        self.events: list[Event] = []
        self._plan = plan
        self._sequence = -1

    def reasoning(self, index: int, item: Item) -> None:
        older = "reasoning_summary_text" in self._plan.names
        name = "reasoning_summary_text" if older else "reasoning_text"
        place = {"output_index": index, "item_id": item["id"]}
        self._item_added(index, item, summary=[])
        for piece in _pieces(item_text(item)):
            self.add(f"{name}.delta", wait_s=self._plan.pace_s, delta=piece, **place)
        self.add(f"{name}.done", text=item_text(item), **place)
        drift = int("drifting_output_index" in self._plan.names)
        self.add("output_item.done", item=item, output_index=index + drift)

    def call(self, index: int, item: Item) -> None:
        """A search: no event at all comes between its start and its end."""
        bare = {name: value for name, value in item.items() if name != "output"}
        self._item_added(index, bare, status="in_progress")
        self.add("output_item.done", wait_s=self._plan.silence_s, item=item, output_index=index)

    def message(self, index: int, item: Item) -> None:
        if size := self._plan.big_event_bytes:
            big = {"delta": "大" * (size // 3), "output_index": index, "item_id": item["id"]}
            self.add("reasoning_text.delta", **big)
        place = {"content_index": 0, "item_id": item["id"], "output_index": index}
        part = item["content"][0]
        self._item_added(index, item, content=[], status="in_progress")
        self.add("content_part.added", **place, part=part | {"text": ""})
        for piece in _pieces(part["text"]):
            fields = {"delta": piece, "logprobs": list[Any](), **place}
            self.add("output_text.delta", wait_s=self._plan.pace_s, **fields)
        self.add("output_text.done", **place, logprobs=[], text=part["text"])
        self.add("content_part.done", **place, part=part)
        self.add("output_item.done", item=item, output_index=index)

    def _item_added(self, index: int, item: Item, **fields: Any) -> None:
        calls = int(item["type"] == "image_search_call")
        charge = Charge(tool_calls=calls, output_tokens=output_tokens(item))
        self.add("output_item.added", charge=charge, item=item | fields, output_index=index)

    def add(
        self, kind: str, *, wait_s: float = 0.0, charge: Charge | None = None, **fields: Any
    ) -> None:
        names, kind = self._plan.names, f"response.{kind}"
        # Every fifth event repeats its number, where that is asked for.
        repeats = "sequence_repeats" in names and len(self.events) % 5 == 4  # noqa: PLR2004
        self._sequence += 0 if repeats else 1
        if "sequence_gaps" in names and self._sequence in _GAPS:
            self._sequence += 1
        number = self._sequence + ("id_equals_sequence" not in names)
        data = compact({"sequence_number": self._sequence, **fields, "type": kind})
        self.events.append(Event(number, kind, data, wait_s, charge))


def _pieces(text: str) -> Iterator[str]:
    parts = words(text)
    for start in range(0, len(parts), _DELTA_WORDS):
        yield "".join(parts[start : start + _DELTA_WORDS])


def frame(event: Event, plan: Plan, *, status: int = 200) -> bytes:
    """One event with its closing blank line."""
    names, data = plan.names, [f"data:{event.data}"]
    if "multi_data_lines" in names:
        # Between an object's braces and its members a line feed is JSON's own white space.
        data = ["data:{", f"data:{event.data[1:-1]}", "data:}"]
    kind = [f"event:{event.type}", f":HTTP_STATUS/{status}"]
    if "no_event_name" in names:
        del kind[0]
    elif "glued_event_name" in names:
        kind = ["".join(kind)]
    lines = [f"id:{event.id}", *kind, *data, ""]
    if "comments" in names:
        lines = [":", "", ": a comment block", "", ": a comment line", lines[0], ":", *lines[1:]]
    if "extra_blank_lines" in names:
        lines += ["", ""]
    return encode(lines, plan)


def chunks(framed: bytes, plan: Plan) -> list[bytes]:
    """The bytes of one event, split for sending."""
    if "one_byte_chunks" in plan.names:
        return [framed[place : place + 1] for place in range(len(framed))]
    return _INSIDE_CHARACTER.split(framed) if "split_utf8" in plan.names else [framed]


def encode(lines: list[str], plan: Plan) -> bytes:
    """Lines with the plan's colon and line ends."""
    if "space_after_colon" in plan.names:
        lines = [re.sub(r"^(\w+):", r"\1: ", line) for line in lines]
    newline = "\r\n" if "crlf" in plan.names else "\r" if "cr" in plan.names else "\n"
    return "".join(f"{line}{newline}" for line in lines).encode("utf-8", "replace")
