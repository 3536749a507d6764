import random
from itertools import pairwise

import pytest

from app.errors import (
    ServiceError,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.models import Event
from app.upstream.reading import Reading
from tests.upstream.transcript import (
    COMPLETED,
    CREATED,
    EVENTS,
    FAILED,
    THROTTLED,
    WIRE,
    block,
    delta,
)

SECRET = b"sk-secret"


def reading(**headers: str) -> Reading:
    return Reading(max_event_bytes=100_000, headers=headers, secret=SECRET)


def read(*chunks: bytes) -> tuple[list[Event], Reading]:
    one = reading()
    return [event for chunk in chunks for event in one.feed(chunk)], one


def test_an_answer_is_read_up_to_its_last_event() -> None:
    events, one = read(WIRE + block(delta("late")), block(delta("later")))
    assert events == EVENTS
    assert one.ended
    assert one.error is None


def test_an_answer_cut_anywhere_is_the_same() -> None:
    chance = random.Random(11)
    for _ in range(200):
        places = sorted(chance.randrange(len(WIRE)) for _ in range(9))
        marks = [0, *places, len(WIRE)]
        chunks = [WIRE[start:end] for start, end in pairwise(marks)]
        assert read(*chunks)[0] == EVENTS


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'data:{"type":"response.created"}\n\n', "response.created"),
        (b'event:response.x:HTTP_STATUS/200\ndata:{"a":1}\n\n', "response.x"),
        (b'event:response.x\n:HTTP_STATUS/500\ndata:{"a":1}\n\n', "response.x"),
        (b"event:response.x\ndata:not looked at\n\n", "response.x"),
    ],
)
def test_an_event_gets_its_name(text: bytes, name: str) -> None:
    events, one = read(text)
    assert [event.type for event in events] == [name]
    assert one.opened


@pytest.mark.parametrize("text", [b"data:[DONE]\n\n", b"data: [DONE]\n\n", b"event:x\ndata:\n\n"])
def test_what_says_nothing_is_dropped(text: bytes) -> None:
    events, one = read(text, WIRE)
    assert events == EVENTS
    assert one.ended


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (block(FAILED), UpstreamRejected),
        (b'event:error\ndata:{"code":"Throttling","message":""}\n\n', UpstreamRateLimited),
        (b'event:error\n:HTTP_STATUS/503\ndata:{"code":"","message":""}\n\n', UpstreamRateLimited),
        (b'data:{"code":"Throttling","message":""}\n\n', UpstreamRateLimited),
        (b'data:{"type":"error","code":"Throttling","message":""}\n\n', UpstreamRateLimited),
        (b'event:result\n:HTTP_STATUS/500\ndata:{"a":1}\n\n', UpstreamUnavailable),
        (b"event:error\ndata:words\n\n", UpstreamUnavailable),
        (b"data:words\n\n", UpstreamProtocol),
        (b'data:{"a":1}\n\n', UpstreamProtocol),
        (b"data:[1]\n\n", UpstreamProtocol),
        (b'event:search.completed\ndata:{"a":1}\n\n', UpstreamProtocol),
        (b'event:response.completed\ndata:{"cut\n\n', UpstreamProtocol),
        (
            block(Event("response.completed", THROTTLED.data)),
            UpstreamRateLimited,
        ),
        (b"data:" + b"x" * 100_000 + b"\n\n", UpstreamProtocol),
    ],
)
def test_a_failure_ends_the_reading_behind_what_came_before(
    text: bytes, kind: type[ServiceError]
) -> None:
    events, one = read(block(CREATED) + text + block(delta("late")))
    assert events == [CREATED]
    assert type(one.error) is kind
    assert not one.ended


def test_a_good_end_ahead_of_an_oversized_event_stays_good() -> None:
    events, one = read(block(COMPLETED) + b"data:" + b"x" * 100_001)
    assert events == [COMPLETED]
    assert one.ended


def test_an_error_in_a_last_block_without_its_blank_line_is_told() -> None:
    one = reading()
    one.feed(block(CREATED) + block(FAILED).rstrip())
    assert one.end() == []
    assert type(one.error) is UpstreamRejected


def test_the_key_is_hidden_even_when_it_came_in_two_chunks() -> None:
    text = block(Event("response.x", b'{"a":"sk-secret"}'))
    middle = text.index(b"secret")
    events, _ = read(text[:middle], text[middle:])
    assert events[0].data == b'{"a":"***"}'


def test_the_key_is_hidden_in_bytes_that_are_no_events() -> None:
    one = reading()
    one.feed(b"<p>sk-secret")
    one.end()
    error = one.broken()
    assert error.upstream
    assert error.upstream.message == "<p>***"


def test_a_partial_answer_is_told_by_its_header() -> None:
    one = reading(**{"x-dashscope-partialresponse": "true"})
    one.feed(block(CREATED))
    one.end()
    assert type(one.broken()) is UpstreamInterrupted
    assert "time limit" in one.broken().detail


def test_a_name_that_was_well_once_is_looked_at_again() -> None:
    text = b"event:result\n:HTTP_STATUS/%d\ndata:{}\n\n"
    events, one = read(text % 200, text % 500)
    assert [event.type for event in events] == ["result"]
    assert type(one.error) is UpstreamUnavailable


def test_bytes_without_events_are_kept_within_bounds() -> None:
    one = Reading(max_event_bytes=1_000_000, headers={}, secret=b"")
    for _ in range(50):
        one.feed(b"x" * 10_000)
    assert len(one._head) == 65_536
