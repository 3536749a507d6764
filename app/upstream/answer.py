"""What the upstream's events add up to: a result, and a response object. Pure, and lenient.

Results are read from the tool's output only; the model's text may name pages that nobody found.
"""

import html
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from app import results, telemetry
from app.errors import ServiceError
from app.models import Event, Outcome, Phase, Status, json_bytes
from app.results import BoundingBox, Match, SearchResult, SearchResults, Usage
from app.upstream.failures import FAILED
from app.upstream.lenient import Json, as_count, as_list, as_object, as_text, parse

TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", FAILED})
TEXT_DELTA = "response.output_text.delta"
ITEM_ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
DELTA = ".delta"  # How the types of events with a piece of output end.
CALL = "image_search_call"
WHOLE_IMAGE: BoundingBox = (0, 0, 1000, 1000)
RESPONSE: Json = {  # What OpenAI's response object always has, also when an answer broke early.
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
ENDINGS: dict[str, Status] = {"completed": "completed", "incomplete": "incomplete"}
URL = re.compile(  # Up to white space, markup, quotes, or Chinese punctuation (CJK, full width).
    r"https?://[^\s<>\"'`\[\]{}|\\^\u2018-\u201f\u2026\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE
)
ITEM_TYPE = re.compile(rb'"type"\s*:\s*"(message|reasoning|\w+_call)"')
PHASES: dict[bytes, Phase] = {b"message": "answering", b"reasoning": "thinking"}


class AnswerBuilder:
    """Adds an answer up, event by event. Text deltas are decoded only when they are needed."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.response_id: str | None = None
        self.usage: Usage | None = None
        self.calls: dict[str, SearchResults] = {}  # What each call of the tool found, in order.
        self._status: Status | None = None
        self._text: str | None = None
        self._model: str | None = None
        for event in events:
            self.add(event)

    def add(self, event: Event) -> SearchResults | None:
        """Take an event in, and return what it says that a call of the tool found, if it does."""
        if event.type == ITEM_DONE:
            if CALL.encode() in event.data:
                return self._collect(as_object(_member(event, "item")))
        elif event.type in TERMINAL_EVENTS:
            self._end(event.type, as_object(_member(event, "response")))
        elif not self.response_id:
            response = as_object(_member(event, "response"))
            self.response_id = as_text(response.get("id")) or None
        return None

    def result(
        self,
        log: Sequence[Event],
        status: Status,
        *,
        run_id: str,
        error: ServiceError | None = None,
        cost: results.Cost | None = None,
    ) -> SearchResult:
        """The answer so far, or as it ended; a `completed` one has the status of its last event."""
        # Our own first event says what was asked.
        begun = as_object(parse(log[0].data)) if log else {}
        about = {"request_id": telemetry.request_id.get(), "search_id": run_id}
        if status == "completed":
            status = self._status or status
        if self._text is None:
            self.read_deltas(log)
        text, calls = self._text or "", self.calls.values()
        matches = [match for call in calls for match in call.results]
        warnings: list[results.SearchWarning] = []
        if _names_unlisted_url(text, matches):
            warnings.append("text_mentions_unlisted_url")
        if error and matches:
            warnings.append("partial")
        outcome: Outcome | None = "tool_skipped" if self._status else None
        if calls:
            outcome = "matched" if matches else "no_match"
        return SearchResult(
            id=run_id,
            status=status,
            outcome=outcome,
            model=self._model or as_text(begun.get("model")),
            text=text,
            results=matches,
            searches=[
                results.ImageSearch(image=call.image, bbox=call.bbox, count=len(call.results))
                for call in calls
            ],
            usage=self.usage,
            cost=cost,
            warnings=warnings,
            error=results.Problem.of(error, **about) if error else None,
            upstream_response_id=self.response_id,
            created_at=as_count(begun.get("created_at")),
            completed_at=None if status == "in_progress" else int(time.time()),
        )

    def read_deltas(self, log: Sequence[Event]) -> tuple[int, int]:
        """How many calls and characters of output an answer that broke has; also reads its text."""
        n_calls, n_chars, texts = 0, 0, list[tuple[object, str]]()
        for event in log:
            n_calls += event.type == ITEM_ADDED and CALL.encode() in event.data
            if event.type.endswith(DELTA):
                delta = as_object(parse(event.data))
                text = as_text(delta.get("delta"))
                n_chars += len(text)
                if event.type == TEXT_DELTA:
                    texts.append((delta.get("item_id"), text))
        if self._text is None:
            # Of the last message. `output_index` is unreliable, `item_id` names it.
            self._text = "".join(text for item_id, text in texts if item_id == texts[-1][0])
        return max(n_calls, len(self.calls)), n_chars

    def _end(self, event_type: str, response: Json) -> None:
        output = [as_object(item) for item in as_list(response.get("output"))]
        for item in output:
            self._collect(item)
        named = ENDINGS.get(event_type.removeprefix("response."))
        self._status = named and ENDINGS.get(as_text(response.get("status")), named)
        if messages := [item for item in output if item.get("type") == "message"]:
            parts = map(as_object, as_list(messages[-1].get("content")))
            self._text = "".join(as_text(part.get("text")) for part in parts)
        self._model = as_text(response.get("model")) or None
        if isinstance(usage := response.get("usage"), dict):
            self.read_usage(usage)
        self.response_id = as_text(response.get("id")) or self.response_id

    def read_usage(self, usage: Json) -> None:
        """Take in what the upstream says was used, unless it tells of no token."""
        tool = as_object(as_object(usage.get("x_tools")).get("image_search"))
        n_input = as_count(usage.get("input_tokens"))
        n_output = as_count(usage.get("output_tokens"))
        if n_input or n_output:
            self.usage = Usage(
                input_tokens=n_input,
                output_tokens=n_output,
                total_tokens=as_count(usage.get("total_tokens")) or n_input + n_output,
                # `x_tools` is missing at times: then the calls seen are counted.
                image_search_calls=as_count(tool.get("count", len(self.calls))),
            )

    def _collect(self, item: Json) -> SearchResults | None:
        if item.get("type") != CALL:
            return None
        key = as_text(item.get("id")) or f"{item.get('arguments')}{item.get('output')}"
        return self.calls.setdefault(key, _search_results(item))


def phase(event: Event) -> Phase | None:
    """The phase that an event begins; `None` if it begins none."""
    found = ITEM_TYPE.search(event.data) if event.type == ITEM_ADDED else None
    return PHASES.get(found[1], "searching") if found else None


def response_so_far(events: Sequence[Event], **defaults: Any) -> Json:
    """The response as its last event has it; before the end, with the items that are done.

    `defaults` are the members `id`, `created_at` and `model`, where no event has them.
    """
    whole = (event for event in reversed(events) if not event.type.endswith(DELTA))
    latest = next(filter(None, (as_object(_member(one, "response")) for one in whole)), {})
    response = {**RESPONSE, **defaults, "object": "response", "error": None, **latest}
    if not (events and events[-1].type in TERMINAL_EVENTS):
        done = (_member(one, "item") for one in events if one.type == ITEM_DONE)
        response["output"] = [item for item in done if item is not None]
    return response


def made_end(events: Sequence[Event], error: ServiceError | None, **defaults: Any) -> Event:
    """The event that ends these; without an error they were cancelled. See `response_so_far`."""
    response = response_so_far(events, **defaults)
    response["status"] = "failed" if error else "cancelled"
    response["error"] = {"code": error.code, "message": error.detail} if error else None
    numbers = (_member(event, "sequence_number") for event in reversed(events))
    number = next((one for one in numbers if type(one) is int), -1) + 1
    data = {"type": FAILED, "sequence_number": number, "response": response}
    return Event(FAILED, json_bytes(data))


def events_until(events: Sequence[Event], sequence_number: int) -> int:
    """How many events there are up to the last whose `sequence_number` is at most this."""
    for count in range(len(events), 0, -1):
        number = _member(events[count - 1], "sequence_number")
        # The upstream's numbers jump, and some events have none.
        if type(number) is int and number <= sequence_number:
            return count
    return 0


def _search_results(item: Json) -> SearchResults:
    arguments = as_object(_nested(item.get("arguments")))
    image = as_count(arguments.get("img_idx"))
    output = _nested(item.get("output"))
    if isinstance(output, dict):
        output = output.get("images") or output.get("results")
    matches = [
        Match(index=as_count(one.get("index")) or rank, title=title, url=url, image=image)
        for rank, one in enumerate(map(as_object, as_list(output)), 1)
        # Without one of both it is of no use.
        if isinstance(title := one.get("title"), str) and (url := as_text(one.get("url")))
    ]
    numbers = (side for side in as_list(arguments.get("bbox")) if isinstance(side, int | float))
    sides = [int(side) for side in numbers if 0 <= side <= max(WHOLE_IMAGE)]
    # All of the image is searched if what the model wrote is no box.
    left, top, right, bottom = sides if len(sides) == len(WHOLE_IMAGE) else WHOLE_IMAGE
    return SearchResults(image=image, bbox=(left, top, right, bottom), results=matches)


def _names_unlisted_url(text: str, matches: Iterable[Match]) -> bool:
    """Whether the text names an http(s) URL that no search returned."""
    listed = {_plain(match.url) for match in matches}
    for url in map(_plain, URL.findall(text)):
        # Text may follow a URL directly: Chinese has no spaces.
        follows = (url[len(one) : len(one) + 1] for one in listed if url.startswith(one))
        if url not in listed and all(mark.isascii() for mark in follows):
            return True
    return False


def _plain(url: str) -> str:
    """One spelling of a URL, since models escape and unescape them."""
    return unquote(html.unescape(url)).rstrip("/.,;:!?*_~)")


def _member(event: Event, name: str) -> Any:
    return as_object(parse(event.data)).get(name)


def _nested(value: object) -> object:
    """A member that is JSON in a string, or plain."""
    return parse(value) if isinstance(value, str) else value
