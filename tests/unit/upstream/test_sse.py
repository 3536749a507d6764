"""The event-stream decoder: bytes in, frames out, wherever they are cut (WHATWG HTML §9.2)."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UpstreamProtocol
from app.upstream.sse import Decoder, Frame
from tests.dashscope import EVENTS, WIRE

LIMIT_BYTES = 4_194_304
WHOLE = [Frame(event.type, event.data, 200) for event in EVENTS]


def decoded(chunks: Iterable[bytes], limit_bytes: int = LIMIT_BYTES) -> list[Frame]:
    decoder = Decoder(limit_bytes)
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.feed(b"\n\n")]


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(marks)]


@pytest.fixture(params=[b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def wire(request: pytest.FixtureRequest) -> bytes:
    return WIRE.replace(b"\n", request.param)


def test_every_cut_in_two_gives_the_same_events(wire: bytes) -> None:
    for place in range(len(wire) + 1):
        assert decoded(cut(wire, [place])) == WHOLE


def test_an_event_is_given_as_soon_as_its_blank_line_has_come() -> None:
    decoder = Decoder(LIMIT_BYTES)
    assert list(decoder.feed(b"event:a\ndata:1\n")) == []
    assert list(decoder.feed(b"\n")) == [Frame("a", b"1")]
    assert list(decoder.feed(b"data:1\r\n\r")) == [Frame("", b"1")]


BLOCKS: list[tuple[bytes, list[Frame]]] = [
    (b"data:1\n\n", [Frame("", b"1")]),
    (b"data:  1\n\n", [Frame("", b" 1")]),
    (b"data:1\ndata:\ndata:2\n\n", [Frame("", b"1\n\n2")]),
    (b"data\ndata\n\n", [Frame("", b"\n")]),
    (b"event: a\ndata: 1\n\n", [Frame("a", b"1")]),
    (b"data:1\nevent:a\n\n", [Frame("a", b"1")]),
    (b"event:a\nevent:b\ndata:1\n\n", [Frame("b", b"1")]),
    (b"event:a\n\ndata:1\n\n", [Frame("", b"1")]),
    (b"id:5\nid:6\nevent:a\ndata:1\n\n", [Frame("a", b"1")]),
    (b"\n\n\n\nevent:a\ndata:1\n\n\n\n\ndata:2\n\n", [Frame("a", b"1"), Frame("", b"2")]),
    (b"\n: x\nevent:a\n: y\ndata:1\n: z\n\n", [Frame("a", b"1")]),
    (b"unknown:1\ndataset:2\ndata:1\n\n", [Frame("", b"1")]),
    (b"event:error\n:HTTP_STATUS/429\ndata:1\n\n", [Frame("error", b"1", 429)]),
    (b"event:error\ndata:1\n:HTTP_STATUS/500\n\n", [Frame("error", b"1", 500)]),
    (b"event:a:HTTP_STATUS/200\ndata:1\n\n", [Frame("a", b"1", 200)]),
    (b"event:a:HTTP_STATUS/429\ndata:1\ndata:2\n\n", [Frame("a", b"1\n2", 429)]),
    (b"event: \xff\ndata:1\n\n", [Frame("\ufffd", b"1")]),
    (b"event:" + b"e" * 999 + b"\ndata:1\n\n", [Frame("e" * 999, b"1")]),
    (b"data:1", [Frame("", b"1")]),
    (b"event:a\ndata:1\n\nid:7\nevent:b", [Frame("a", b"1")]),
    (b"\xef\xbb\xbfevent:a\ndata:1\n\n", [Frame("a", b"1")]),
    (b"\xef\xbbdata:1\n\n", []),
]


@pytest.mark.parametrize(("text", "frames"), BLOCKS)
def test_a_block_gives_what_the_standard_says(text: bytes, frames: list[Frame]) -> None:
    assert decoded([text]) == frames
    assert decoded(bytes([byte]) for byte in text) == frames
    assert decoded([text.replace(b"\n", b"\r\n")]) == frames


def test_an_empty_chunk_between_cr_and_lf_ends_no_line() -> None:
    chunks = [b"data:1\r", b"", b"\ndata:2\r", b"\n", b"\r", b"\n"]
    assert decoded(chunks) == [Frame("", b"1\n2")]


def test_an_event_over_the_limit_is_refused_before_it_has_ended() -> None:
    decoder = Decoder(100)
    assert list(decoder.feed(b"data:" + b"x" * 95)) == []
    with pytest.raises(UpstreamProtocol):
        list(decoder.feed(b"x"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"\r", b"\n", b"data:", b"event:"])))
def test_any_bytes_neither_crash_nor_depend_on_how_they_are_cut(chunks: list[bytes]) -> None:
    assert decoded(chunks) == decoded([b"".join(chunks)])
