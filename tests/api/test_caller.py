"""Who an event stream is opened for, told from the headers however they are written."""

import pytest
from starlette.requests import Request

from app.api.caller import refuse_unless_event_source
from app.errors import NotAcceptable

STREAM = (b"accept", b"text/event-stream")


def asked(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": list(headers)})


@pytest.mark.parametrize(
    "headers",
    [
        [STREAM],
        [(b"accept", b"Text/Event-Stream; q=0.9, */*")],
        [(b"accept", b"text/html"), STREAM],
        [STREAM, (b"sec-purpose", b"")],
    ],
)
def test_an_event_source_is_known_by_what_it_accepts(headers: list[tuple[bytes, bytes]]) -> None:
    refuse_unless_event_source(asked(*headers))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"accept", b"*/*")],
        [STREAM, (b"sec-purpose", b"Prefetch;Prerender")],
        [STREAM, (b"purpose", b"x"), (b"purpose", b"PREFETCH")],
        [STREAM, (b"x-purpose", b"preview")],
        [STREAM, (b"x-moz", b"prefetch")],
    ],
)
def test_whoever_nobody_asked_to_come_gets_no_stream(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(NotAcceptable):
        refuse_unless_event_source(asked(*headers))
