"""The reader of events: whole events, however the bytes are cut."""

import pytest

from demo.events import Event, read

WIRE = (
    'retry: 2000\nid: a:1\nevent: search.created\ndata: {"a": "海\u2028湾"}\n\nevent:x\ndata:1\n\n'
)
EVENTS = [Event("search.created", '{"a": "海\u2028湾"}'), Event("x", "1")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_cuts_in_the_bytes_do_not_matter(size: int) -> None:
    wire = WIRE.encode()
    chunks = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert list(read(chunks)) == EVENTS


def test_an_event_is_given_before_the_next_one_is_asked_for() -> None:
    wire = iter([b"data: 1\n\n", b"data: 2\n\n"])
    assert next(read(wire)) == Event("message", "1")
    assert next(wire) == b"data: 2\n\n"


def test_comments_give_no_event() -> None:
    assert list(read([b": keep-alive\n: keep-alive\ndata: 1\n\n\n\n"])) == [Event("message", "1")]


def test_an_event_that_was_cut_off_is_dropped() -> None:
    assert list(read([b"data: 1\n\ndata: 2\n"])) == [Event("message", "1")]


def test_several_data_lines_are_one_text() -> None:
    assert list(read([b"data: 1\ndata: 2\n\n"])) == [Event("message", "1\n2")]
