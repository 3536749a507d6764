import json
from typing import Any

import pytest

from app.models import Answer, Event, ImageSearch, Match, Phase, Usage
from app.upstream.answer import Folding, phase
from tests.upstream.transcript import (
    ADDED,
    COMPLETED,
    CREATED,
    DONE,
    EVENTS,
    FAILED,
    FOUND,
    MESSAGE,
    call,
    delta,
    event,
)

WHOLE = (0, 0, 1000, 1000)


def fold(events: list[Event]) -> Answer:
    """What events add up to."""
    folding = Folding()
    for one in events:
        folding.add(one)
    return folding.answer(events)


INK = Match(1, "水墨山背景", "https://pictures.example/ink.jpg", 0)
HILLS = Match(2, "Mountains", "https://pictures.example/hills.png?w=1", 0)
SEARCH = ImageSearch(0, WHOLE, (INK, HILLS))


def read(**item: Any) -> ImageSearch | None:
    return Folding().add(event("response.output_item.done", item={**call(FOUND), **item}))


def completed(*output: object, **response: Any) -> Event:
    return event("response.completed", response={"output": list(output), **response})


def test_a_call_is_read_with_image_box_and_results() -> None:
    done = call(FOUND[:1], image=2, box=[10, 20, 30, 40.5])
    search = Folding().add(event("response.output_item.done", item=done))
    assert search == ImageSearch(
        2, (10, 20, 30, 40), (Match(1, "水墨山背景", "https://pictures.example/ink.jpg", 2),)
    )


@pytest.mark.parametrize(
    "output",
    [
        json.dumps(FOUND),
        FOUND,
        {"images": FOUND},
        {"results": FOUND},
        json.dumps({"images": FOUND}),
    ],
)
def test_results_are_read_in_every_form_seen(output: object) -> None:
    assert read(output=output) == SEARCH


@pytest.mark.parametrize("output", ["[]", "", None, "not json", "7", {"images": None}, [1, "x"]])
def test_a_call_without_results_found_nothing(output: object) -> None:
    assert read(output=output) == ImageSearch(0, WHOLE, ())


def test_elements_without_title_or_address_are_left_out_and_places_counted() -> None:
    found = [
        {"title": "no address"},
        {"title": "empty", "url": ""},
        {"url": "https://a.example/1"},
        {"title": 7, "url": "https://a.example/2"},
        {"title": "a", "url": "https://a.example/3"},
        {"title": "b", "url": "https://a.example/4", "index": "9"},
        {"title": "c", "url": "https://a.example/5", "index": True},
    ]
    search = read(output=found)
    assert search
    assert [(match.index, match.title) for match in search.results] == [
        (5, "a"),
        (6, "b"),
        (7, "c"),
    ]


@pytest.mark.parametrize(
    "box",
    [None, "all", [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "4"], [1, 2, 3, 4000], [-1, 2, 3, 4]],
)
def test_a_bad_box_is_the_whole_picture(box: object) -> None:
    search = read(arguments=json.dumps({"img_idx": -1, "bbox": box}))
    assert search == SEARCH


@pytest.mark.parametrize(
    "arguments", [None, "", "{", "[]", {"img_idx": "1"}, '{"bbox":[NaN,1,1,1]}']
)
def test_bad_arguments_are_the_first_image(arguments: object) -> None:
    assert read(arguments=arguments) == SEARCH


@pytest.mark.parametrize(
    "data",
    [
        CREATED.data,
        b'{"item":{"type":"message","text":"image_search_call"}}',
        b"image_search_call",
        b'{"item":["image_search_call"]}',
        b"[" * 60_000 + b"image_search_call",
    ],
)
def test_other_items_are_no_search(data: bytes) -> None:
    assert Folding().add(Event("response.output_item.done", data)) is None


def test_a_whole_answer_is_folded() -> None:
    assert fold(EVENTS) == Answer(
        status="completed",
        text="两幅山水画。",
        searches=(SEARCH,),
        usage=Usage(2753, 181, 2934, 1),
        response_id="resp_1",
        model="qwen3.7-plus",
    )


def test_an_answer_under_way_is_what_came_so_far() -> None:
    own = Event("search.created", b'{"search_id":"srch_1"}')
    assert fold([own, *EVENTS[:-3]]) == Answer(
        text="两幅", searches=(SEARCH,), response_id="resp_1"
    )
    assert fold([]) == Answer()


def test_the_text_under_way_is_the_last_messages() -> None:
    deltas = [delta("first", "a"), delta("sec", "b"), delta("ond", "b")]
    assert fold(deltas).text == "second"


def test_the_text_of_an_ended_answer_is_its_last_messages() -> None:
    first = {**MESSAGE, "content": [{"type": "output_text", "text": "Let me look."}]}
    parts = {**MESSAGE, "content": [{"text": "a"}, {"text": None}, "x", {"text": "b"}]}
    assert fold([delta("draft"), completed(parts, call(FOUND), first)]).text == "Let me look."
    assert fold([delta("draft"), completed(first, call(FOUND), parts)]).text == "ab"


def test_an_ended_answer_without_a_message_keeps_the_deltas() -> None:
    assert fold([delta("draft"), completed()]).text == "draft"


@pytest.mark.parametrize(
    ("name", "told", "status"),
    [
        ("response.completed", "completed", "completed"),
        ("response.completed", "incomplete", "incomplete"),
        ("response.incomplete", None, "incomplete"),
        ("response.completed", "queued", "completed"),
        ("response.failed", "completed", None),
    ],
)
def test_the_status_is_the_bodys_else_the_events(
    name: str, told: str | None, status: str | None
) -> None:
    assert fold([event(name, response={"status": told})]).status == status


def test_an_unreadable_end_still_is_one() -> None:
    assert fold([CREATED, Event("response.completed", b"{")]) == Answer(
        status="completed", response_id="resp_1"
    )


def test_a_failed_answer_keeps_its_usage() -> None:
    failed = event("response.failed", response={"id": "resp_2", "usage": {"input_tokens": 5}})
    assert fold([failed]) == Answer(usage=Usage(5, 0, 5, 0), response_id="resp_2")
    assert fold([DONE, FAILED]).searches == (SEARCH,)


def test_a_call_seen_twice_counts_once_and_one_seen_only_at_the_end_counts() -> None:
    second = call([], name="msg_2", image=1)
    answer = fold([DONE, DONE, completed(call(FOUND), second, {**second, "id": None}, None)])
    assert [search.image for search in answer.searches] == [0, 1, 1]


@pytest.mark.parametrize(
    ("usage", "calls"),
    [
        ({"x_tools": {"image_search": {"count": 3}}}, 3),
        ({"x_tools": {"image_search": {"count": 0}}}, 0),
        ({"x_tools": {"image_search": {}}}, 1),
        ({"x_tools": None}, 1),
        ({}, 1),
    ],
)
def test_calls_are_counted_as_billed_else_as_seen(usage: dict[str, Any], calls: int) -> None:
    answer = fold([DONE, completed(usage=usage)])
    assert answer.usage
    assert answer.usage.image_search_calls == calls


REASONED = event("response.output_item.done", item={"type": "reasoning"})


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "waiting"),
        ([CREATED], "waiting"),
        ([CREATED, Event("search.progress", b"{}")], "waiting"),
        ([event("response.reasoning_text.delta")], "thinking"),
        ([event("response.reasoning_summary_text.delta")], "thinking"),
        ([event("response.output_item.added", item={"type": "reasoning"})], "thinking"),
        ([delta("x"), REASONED], "thinking"),
        ([CREATED, REASONED, ADDED], "searching"),
        ([ADDED, Event("search.progress", b"{}"), event("response.unheard_of")], "searching"),
        ([ADDED, event("response.output_item.added", item={"type": "other"})], "searching"),
        ([event("response.web_search_call.searching")], "searching"),
        ([ADDED, event("response.web_search_call.completed")], "thinking"),
        ([ADDED, DONE], "thinking"),
        ([DONE, event("response.output_item.added", item={"type": "message"})], "answering"),
        ([DONE, delta("x")], "answering"),
        ([event("response.content_part.added")], "answering"),
        ([event("response.output_item.done", item=MESSAGE)], "answering"),
        (EVENTS, "answering"),
    ],
)
def test_the_phase_is_told_by_the_last_event_that_tells(events: list[Event], told: Phase) -> None:
    assert phase(events) == told


def test_the_terminal_transcript_event_is_complete() -> None:
    assert fold([COMPLETED]).searches == (SEARCH,)


@pytest.mark.timeout(20)
def test_a_very_long_answer_is_read_at_a_stretch() -> None:
    """Where each piece costs as much as all before it, this takes minutes, and all callers wait."""
    pieces = [delta("x" * 1_000)] * 30_000
    assert len(fold(pieces).text) == 30_000_000
