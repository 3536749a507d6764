"""What the upstream's events add up to. Pure, and lenient: a missing piece is left out.

Results are read from the tool's output only, never from the model's text, which may name pages
that nobody found.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from app.models import Answer, Event, ImageSearch, Match, Phase, Usage

TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
TEXT_DELTA = "response.output_text.delta"
ITEM_DONE = "response.output_item.done"
CALL = "image_search_call"
WHOLE_PICTURE = (0, 0, 1000, 1000)
BOX_MAX = 1000
COUNT_MAX = 2**53

Ending = Literal["completed", "incomplete"]
ENDINGS: dict[str, Ending] = {"completed": "completed", "incomplete": "incomplete"}
Json = dict[str, Any]

PHASES: tuple[tuple[re.Pattern[str], Phase], ...] = (
    (re.compile(r"response\.(output_text|content_part|refusal)\."), "answering"),
    (re.compile(r"response\.reasoning_"), "thinking"),
    (re.compile(r"response\.\w+_call(\.(in_progress|searching)|_)"), "searching"),
    (re.compile(r"response\.\w+_call\.completed"), "thinking"),
    (re.compile(r"response\.(created|queued|in_progress)$"), "waiting"),
)
ITEM_TYPE = re.compile(rb'"type"\s*:\s*"(message|reasoning|\w+_call)"')


class Folding:
    """An answer adding up, event by event: each is parsed once, a text delta only if need be."""

    __slots__ = ("_calls", "_model", "_status", "_text", "response_id", "usage")

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.usage: Usage | None = None
        self._calls: dict[str, ImageSearch] = {}
        self._status: Ending | None = None
        self._text: str | None = None
        self._model: str | None = None

    def add(self, event: Event) -> ImageSearch | None:
        """Take an event in; the call of the tool in it, where it is an item that is done."""
        if event.type == ITEM_DONE:
            if CALL.encode() in event.data:
                return self._collect(_dict(_object(event.data).get("item")))
        elif event.type in TERMINAL_EVENTS:
            self._end(event.type, _dict(_object(event.data).get("response")))
        elif not self.response_id and event.type != TEXT_DELTA and not event.own:
            response = _dict(_object(event.data).get("response"))
            self.response_id = _str(response.get("id")) or None
        return None

    def answer(self, events: Iterable[Event] = ()) -> Answer:
        """The answer so far. Text: the terminal event's last message, else `events`' deltas."""
        text = self._text
        if text is None:
            text = _joined([event.data for event in events if event.type == TEXT_DELTA])
        return Answer(
            status=self._status,
            text=text,
            searches=tuple(self._calls.values()),
            usage=self.usage,
            response_id=self.response_id,
            model=self._model,
        )

    def _end(self, name: str, response: Json) -> None:
        output = [_dict(item) for item in _list(response.get("output"))]
        for item in output:
            if _key(item) not in self._calls:
                self._collect(item)
        self._status = _status(name, response)
        self._text = _last_message(output)
        self._model = _str(response.get("model")) or None
        self.usage = _usage(response.get("usage"), calls=len(self._calls))
        self.response_id = _str(response.get("id")) or self.response_id

    def _collect(self, item: Json) -> ImageSearch | None:
        call = _read_call(item)
        if call:
            self._calls.setdefault(_key(item), call)
        return call


def phase(events: Sequence[Event]) -> Phase:
    """What the model is doing, by the last event that tells."""
    for event in reversed(events):
        if event.own:
            continue
        if event.type.startswith("response.output_item."):
            if found := ITEM_TYPE.search(event.data):
                return _phase_of_item(found[1], done=event.type == ITEM_DONE)
            continue
        for pattern, told in PHASES:
            if pattern.match(event.type):
                return told
    return "waiting"


def _read_call(item: Json) -> ImageSearch | None:
    if item.get("type") != CALL:
        return None
    arguments = _dict(_nested(item.get("arguments")))
    image = _count(arguments.get("img_idx"))
    found = _nested(item.get("output"))
    if isinstance(found, dict):
        found = found.get("images") or found.get("results")
    matches = (_match(one, place, image) for place, one in enumerate(_list(found), start=1))
    return ImageSearch(image, _box(arguments.get("bbox")), tuple(filter(None, matches)))


def _match(found: object, place: int, image: int) -> Match | None:
    """One picture found; without a title or an address it is of no use."""
    one = _dict(found)
    title, url = one.get("title"), one.get("url")
    if not isinstance(title, str) or not isinstance(url, str) or not url:
        return None
    return Match(_count(one.get("index")) or place, title, url, image)


def _box(value: object) -> tuple[int, int, int, int]:
    """The searched part of the picture; the whole one when what the model wrote is no box."""
    sides = _list(value)
    if not all(isinstance(side, int | float) and 0 <= side <= BOX_MAX for side in sides):
        return WHOLE_PICTURE
    match [int(side) for side in sides]:
        case [left, top, right, bottom]:
            return left, top, right, bottom
        case _:
            return WHOLE_PICTURE


def _key(item: Json) -> str:
    """Tells calls apart; one without an id is told by what it asked and found."""
    return _str(item.get("id")) or f"{item.get('arguments')}{item.get('output')}"


def _status(ended: str, response: Json) -> Ending | None:
    """As the body says; its event's name speaks where the body does not."""
    named = ENDINGS.get(ended.removeprefix("response."))
    return named and ENDINGS.get(_str(response.get("status")), named)


def _last_message(output: Sequence[Json]) -> str | None:
    for item in reversed(output):
        if item.get("type") == "message":
            parts = map(_dict, _list(item.get("content")))
            return "".join(_str(part.get("text")) for part in parts)
    return None


def _joined(deltas: Sequence[bytes]) -> str:
    """The deltas of the last message; `output_index` drifts, so messages are told by `item_id`."""
    pieces: dict[str, list[str]] = {}
    last = ""
    for delta in map(_object, deltas):
        last = _str(delta.get("item_id"))
        pieces.setdefault(last, []).append(_str(delta.get("delta")))
    return "".join(pieces.get(last, ()))


def _usage(value: object, *, calls: int) -> Usage | None:
    """Token and call counts; without `x_tools`, which is absent at times, the calls seen."""
    if not isinstance(value, dict):
        return None
    tool = _dict(_dict(value.get("x_tools")).get("image_search"))
    tokens_in, tokens_out = _count(value.get("input_tokens")), _count(value.get("output_tokens"))
    return Usage(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        total_tokens=_count(value.get("total_tokens")) or tokens_in + tokens_out,
        image_search_calls=_count(tool.get("count")) if "count" in tool else calls,
    )


def _phase_of_item(kind: bytes, *, done: bool) -> Phase:
    if kind == b"message":
        return "answering"
    return "searching" if kind.endswith(b"_call") and not done else "thinking"


def _object(data: bytes | str) -> Json:
    return _dict(_json(data))


def _json(text: bytes | str) -> object:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def _nested(value: object) -> object:
    """A member that is JSON in a string, or already plain."""
    return _json(value) if isinstance(value, str) else value


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    """A number from 0 that could be true; anything else is 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value < COUNT_MAX else 0
