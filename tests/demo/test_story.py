"""A stream as it is told in the terminal."""

import io
import itertools
import json
from typing import Any

import pytest

from demo.events import Event
from demo.screen import Screen
from demo.story import Story

RESULT = {
    "status": "completed",
    "outcome": "matched",
    "results": [{"index": 1, "title": "A\x1b[2J\nlighthouse", "url": "http://x/1.jpg", "image": 0}],
    "usage": {
        "input_tokens": 2753,
        "output_tokens": 181,
        "total_tokens": 2934,
        "image_search_calls": 1,
    },
    "cost": {"currency": "CNY", "total": 0.054954, "tokens": 0.006954, "tools": 0.048},
    "warnings": [],
}
FOUND = {"image": 0, "bbox": [0, 0, 1000, 1000], "results": RESULT["results"]}
WHOLE = [
    ("search.created", {"search_id": "srch_1"}),
    ("response.output_item.added", {"item": {"type": "reasoning"}}),
    ("response.reasoning_text.delta", {"delta": "hm"}),
    ("response.output_item.added", {"item": {"type": "image_search_call"}}),
    ("search.progress", {"phase": "searching", "elapsed_s": 3.1}),
    ("search.results", FOUND),
    ("response.output_item.added", {"item": {"type": "message"}}),
    ("response.output_text.delta", {"delta": "Found a "}),
    ("response.output_text.delta", {"delta": "lighthouse."}),
    ("search.completed", RESULT),
]


def told(events: list[tuple[str, Any]], *, live: bool = False) -> tuple[bool, str]:
    out = io.StringIO()
    clock = map(float, itertools.count())
    story = Story(Screen(out, colours=False, live=live), clock=lambda: next(clock))
    went_well = story.tell(Event(name, json.dumps(data)) for name, data in events)
    return went_well, out.getvalue()


def test_a_whole_search_reads_from_waiting_to_its_cost() -> None:
    assert told(WHOLE) == (
        True,
        """\
   1.0 s  waiting
   2.0 s  thinking
   3.0 s  searching
   4.0 s  found 1 like it
     1  A[2J lighthouse
        http://x/1.jpg
   5.0 s  answering

  Found a lighthouse.

  completed · matched · 1 result
  2,753 tokens in, 181 out, 1 search
  0.054954 CNY (0.006954 for tokens, 0.048000 for searches)
""",
    )


def test_on_a_terminal_the_phase_counts_seconds_in_its_line() -> None:
    _, text = told(WHOLE, live=True)
    assert "\r   3.0 s  searching\r   3.0 s  searching … 3 s in all\n" in text


def test_progress_never_breaks_into_the_answer() -> None:
    late = ("search.progress", {"phase": "answering", "elapsed_s": 9.0})
    _, text = told([*WHOLE[:8], late, *WHOLE[8:]], live=True)
    assert "  Found a lighthouse.\n" in text


def test_an_answer_may_go_on_after_a_second_search() -> None:
    _, text = told([*WHOLE[:9], WHOLE[3], WHOLE[5], *WHOLE[7:]])
    assert text.count("\n\n  Found a lighthouse.\n") == 2


def test_nothing_found_is_said() -> None:
    _, text = told([("search.results", {**FOUND, "results": []})])
    assert "found nothing like it" in text


def test_a_long_list_is_cut() -> None:
    results = [{"index": n, "title": "t", "url": "u", "image": 0} for n in range(1, 13)]
    _, text = told([("search.results", {**FOUND, "results": results})])
    assert "    10  t\n        u\n        and 2 more\n" in text


def test_a_failed_search_says_why_and_does_not_go_well() -> None:
    problem = {
        "title": "Upstream time-out",
        "detail": "idle",
        "code": "upstream_timeout",
        "retryable": True,
    }
    went_well, text = told([("search.failed", {"error": problem, "result": RESULT})])
    assert not went_well
    assert (
        "  Upstream time-out\n  detail: idle\n  code: upstream_timeout\n  retryable: True" in text
    )


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([("search.cancelled", RESULT)], "was cancelled"),
        (WHOLE[:-1], "ended without its last event"),
    ],
)
def test_any_other_end_does_not_go_well(events: list[tuple[str, Any]], words: str) -> None:
    went_well, text = told(events)
    assert not went_well
    assert words in text


def test_unknown_usage_and_cost_are_not_guessed() -> None:
    _, text = told([("search.completed", {**RESULT, "usage": None, "cost": None})])
    assert "usage: not reported" in text
    assert "cost: unknown" in text


def test_an_answer_that_is_no_stream_says_why() -> None:
    out = io.StringIO()
    story = Story(Screen(out, colours=False, live=False), clock=lambda: 0.0)
    refused = {"title": "Not valid", "errors": [{"field": "prompt", "reason": "too long"}]}
    assert not story.problem(422, refused)
    assert '422 Not valid\n  {"field": "prompt", "reason": "too long"}\n' in out.getvalue()
