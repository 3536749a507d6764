"""An answer told as the vendor's stream events. Pure; framing and time come later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator import wording
from simulator.answer import CALL_TOKENS, Answer, Item, item_json, response_json
from simulator.envelopes import compact

if TYPE_CHECKING:
    from simulator.plan import Plan

# Words in one delta: a stream has a few dozen events, as the vendor's samples do.
_DELTA_WORDS: Final = 4
# Where the vendor's own samples skip a number.
_GAPS: Final = frozenset({5, 17})


@dataclass(frozen=True, slots=True)
class Tally:
    """What is charged from here on."""

    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Beat:
    """One event. `data`: its JSON. `wait_s`: seconds that pass before it is sent."""

    number: int
    type: str
    data: str
    wait_s: float = 0.0
    tally: Tally | None = None


def tell(answer: Answer, plan: Plan) -> list[Beat]:
    """All events of an answer in order, the terminal one last unless the shape adds more."""
    teller = _Teller(answer, plan)
    teller.open()
    for index, item in enumerate(answer.items):
        if item.kind == "reasoning":
            teller.reason(index, item)
        elif item.kind == "call":
            teller.search(index, item)
        else:
            teller.speak(index, item)
    teller.close()
    return teller.beats


class _Teller:
    """Numbers events and collects them."""

    def __init__(self, answer: Answer, plan: Plan) -> None:
        self.beats: list[Beat] = []
        self._answer = answer
        self._plan = plan
        self._shape = plan.shape
        self._sequence = -1

    def open(self) -> None:
        """The two events in which neither model nor tools are known yet."""
        for status, kind in (("queued", "created"), ("in_progress", "in_progress")):
            response = {
                "output": [],
                "parallel_tool_calls": False,
                "created_at": self._answer.created_at,
                "tool_choice": "auto",
                "model": "",
                "id": self._answer.id,
                "tools": [],
                "object": "response",
                "status": status,
            }
            tally = Tally(input_tokens=self._answer.usage.input_tokens)
            known = tally if kind == "in_progress" else None
            self._tell(f"response.{kind}", {"response": response}, tally=known)

    def reason(self, index: int, item: Item) -> None:
        """A reasoning item."""
        name, pace_s = f"response.{self._shape.reasoning_name}", self._plan.knobs.pace_s
        place = {"output_index": index, "item_id": item.id}
        bare = {"summary": [], "type": "reasoning", "id": item.id}
        thought = Tally(output_tokens=len(wording.words(item.text)))
        self._item("added", index, bare, tally=thought)
        for piece in _pieces(item.text):
            self._tell(f"{name}.delta", {"delta": piece, **place}, wait_s=pace_s)
        self._tell(f"{name}.done", {"text": item.text, **place})
        drift = 1 if self._shape.index_drifts else 0
        self._item("done", index + drift, item_json(item))

    def search(self, index: int, item: Item) -> None:
        """A search: nothing at all comes between its start and its end."""
        bare = item_json(item) | {"status": "in_progress"}
        del bare["output"]
        self._item("added", index, bare, tally=Tally(tool_calls=1, output_tokens=CALL_TOKENS))
        self._item("done", index, item_json(item), wait_s=self._plan.knobs.silence_s)

    def speak(self, index: int, item: Item) -> None:
        """A message."""
        place = {"content_index": 0, "item_id": item.id, "output_index": index}
        part: dict[str, Any] = {
            "annotations": [],
            "text": "",
            "type": "output_text",
            "logprobs": None,
        }
        if self._shape.big_event_bytes:
            self._big_event(index, item)
        bare = item_json(item) | {"content": [], "status": "in_progress"}
        said = Tally(output_tokens=len(wording.words(item.text)))
        self._item("added", index, bare, tally=said)
        self._tell("response.content_part.added", {**place, "part": part})
        for piece in _pieces(item.text):
            self._tell(
                "response.output_text.delta",
                {"delta": piece, "logprobs": [], **place},
                wait_s=self._plan.knobs.pace_s,
            )
        self._tell("response.output_text.done", {**place, "logprobs": [], "text": item.text})
        whole = part | {"text": item.text}
        self._tell("response.content_part.done", {**place, "part": whole})
        self._item("done", index, item_json(item))

    def close(self) -> None:
        """The terminal event, and what a broken upstream sends after it."""
        kind = f"response.{self._answer.status}"
        response = {"response": response_json(self._answer, self._plan)}
        self._tell(kind, response)
        if self._shape.after_terminal:
            last = self._answer.items[-1].id
            late = {"delta": "too late", "item_id": last, "output_index": 0, "content_index": 0}
            self._tell("response.output_text.delta", late)
            self._tell(kind, response)

    def _item(self, what: str, index: int, item: dict[str, Any], **timing: Any) -> None:
        fields = {"item": item, "output_index": index}
        self._tell(f"response.output_item.{what}", fields, **timing)

    def _big_event(self, index: int, item: Item) -> None:
        filler = "大" * (self._shape.big_event_bytes // 3)
        fields = {"delta": filler, "output_index": index, "item_id": item.id}
        self._tell("response.reasoning_text.delta", fields)

    def _tell(
        self, kind: str, fields: dict[str, Any], *, wait_s: float = 0.0, tally: Tally | None = None
    ) -> None:
        number, sequence = self._next()
        data = compact({"sequence_number": sequence, **fields, "type": kind})
        self.beats.append(Beat(number, kind, data, wait_s, tally))

    def _next(self) -> tuple[int, int]:
        """The event's id and its sequence number."""
        sent, numbering = len(self.beats), self._shape.numbering
        repeats = numbering == "repeats" and sent % 5 == 4  # noqa: PLR2004 - every fifth
        self._sequence += 0 if repeats else 1
        if numbering == "gaps" and self._sequence in _GAPS:
            self._sequence += 1
        shift = 0 if numbering == "id_is_sequence" else 1
        return self._sequence + shift, self._sequence


def _pieces(text: str) -> list[str]:
    parts = wording.words(text)
    starts = range(0, len(parts), _DELTA_WORDS)
    return ["".join(parts[start : start + _DELTA_WORDS]) for start in starts]
