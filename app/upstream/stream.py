"""One streamed answer: the upstream's bytes in, its events or its failure out. No I/O.

What is not acted on is relayed without decoding its JSON: a text delta is only framed.
"""

from collections.abc import Iterable

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol
from app.models import SYNTHETIC_PREFIX, Event
from app.upstream.answer import TERMINAL_EVENTS
from app.upstream.failures import (
    FAILED,
    PARTIAL_HEADER,
    Headers,
    failure_in_event,
    failure_in_response,
    is_failure,
)
from app.upstream.lenient import as_text, parse_object
from app.upstream.sse import Decoder, EventTooLarge, Frame, looks_framed

RESPONSE, ERROR = "response.", "error"
HTTP_OK, HTTP_BAD = 200, 400
NOTHING = (b"", b"[DONE]")
UNKNOWN_MAX_BYTES = 65_536
"""How much is kept of bytes that give no event, to say what they are."""
HIDDEN = b"***"


class EventStreamReader:
    """Feed it chunks until it is `over`; at the end of the bytes, `end()` it.

    Then `error` says why the answer failed; without one, its terminal event has come.
    """

    __slots__ = ("_decoder", "_headers", "_secret", "_unknown", "error", "over", "started")

    def __init__(self, headers: Headers, secret: bytes, max_event_bytes: int) -> None:
        self.over = self.started = False
        self.error: ServiceError | None = None
        self._decoder = Decoder(max_event_bytes)
        self._headers = headers
        self._secret = secret
        self._unknown = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, up to the one that ends the answer."""
        self._unknown = b"" if self.started else (self._unknown + chunk)[:UNKNOWN_MAX_BYTES]
        try:
            return self._read(self._decoder.feed(chunk))
        except EventTooLarge as exc:
            events = self._read(exc.before)
            if not self.over:
                self._fail(UpstreamProtocol("The upstream sent an event over the limit."))
            return events

    def end(self) -> list[Event]:
        """The event of a last block that lacks its blank line, if its data is complete."""
        events = self._read(one for one in self._decoder.end() if parse_object(one.data))
        if not self.over:
            self._fail(self._early_end())
        return events

    def _early_end(self) -> ServiceError:
        """What it means that the bytes end without a terminal event."""
        unknown = redacted(self._unknown, self._secret)
        if self._headers.get(PARTIAL_HEADER) == "true":
            return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
        if not self.started and unknown.strip() and not looks_framed(unknown):
            return failure_in_response(HTTP_OK, self._headers, unknown)
        return UpstreamInterrupted("The upstream's answer ended without a terminal event.")

    def _read(self, frames: Iterable[Frame]) -> list[Event]:
        events: list[Event] = []
        for name, content, http_status in frames:
            if self.over:
                break
            data = redacted(content, self._secret)
            plain = name.startswith(RESPONSE) and name.isprintable() and data
            if plain and name not in TERMINAL_EVENTS:
                events.append(Event(name, data))
                self.started = True
            elif event := self._read_unusual(name, data, http_status):
                events.append(event)
                self.started = True
        return events

    def _read_unusual(self, name: str, data: bytes, http_status: int | None) -> Event | None:
        """The event of a frame that may end the answer, or be none."""
        if data.strip() in NOTHING:
            return None
        name = name or as_text((parse_object(data) or {}).get("type"))
        if error := self._failure(name, http_status, data):
            self._fail(error)
            return None
        self.over = name in TERMINAL_EVENTS
        return Event(name, data)

    def _failure(self, name: str, http_status: int | None, data: bytes) -> ServiceError | None:
        refused = (http_status or HTTP_OK) >= HTTP_BAD and not name.startswith(RESPONSE)
        failed = (not name or name in TERMINAL_EVENTS) and is_failure(data)
        if name in (FAILED, ERROR) or refused or failed:
            return failure_in_event(name, data, self._headers, http_status=http_status)
        if not name or name.startswith(SYNTHETIC_PREFIX) or not name.isprintable():
            return UpstreamProtocol("The upstream sent an event without a valid name.")
        if name in TERMINAL_EVENTS and parse_object(data) is None:
            return UpstreamProtocol("The upstream's terminal event is not JSON.")
        return None

    def _fail(self, error: ServiceError) -> None:
        if self.started:
            # What was served before a failure may be billed.
            error.billed = "maybe"
        self.error, self.over = error, True


def redacted(data: bytes, secret: bytes) -> bytes:
    """`data` with the key, should the upstream echo it, made unreadable."""
    return data.replace(secret, HIDDEN) if data.find(secret) >= 0 else data
