"""One streamed answer: the upstream's bytes in, its events or its failure out. No I/O.

What is not acted on is relayed without decoding its JSON: a text delta is only framed.
"""

from collections.abc import Iterable

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol
from app.models import SYNTHETIC_PREFIX, Event
from app.upstream import failures
from app.upstream.answer import TERMINAL_EVENTS
from app.upstream.failures import HTTP_OK, Headers
from app.upstream.lenient import as_text, parse_object
from app.upstream.sse import FIELDS, Decoder, EventTooLarge, Frame

RESPONSE, ERROR = "response.", "error"
HTTP_BAD = 400
NOTHING = (b"", b"[DONE]")
HIDDEN = b"***"


class EventStreamReader:
    """Feed it chunks until it is `over`; at the end of the bytes, `end()` it."""

    def __init__(self, headers: Headers, secret: bytes, max_event_bytes: int) -> None:
        self.over = False
        self.error: ServiceError | None = None  # Else it is over by a terminal event.
        self._headers, self._secret = headers, secret
        self._decoder = Decoder(max_event_bytes)
        self._started = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, up to the one that ends the answer."""
        return self._read(self._decoder.feed(chunk))

    def end(self, cause: Exception | None = None) -> list[Event]:
        """The event of a last block that lacks its blank line, if its data is complete."""
        rest = redacted(self._decoder.rest.strip(), self._secret)
        events = self._read(one for one in self._decoder.end() if parse_object(one.data))
        if not self.over:
            error = self._early_end(rest)
            error.__cause__ = cause
            self._fail(error)
        return events

    def _early_end(self, rest: bytes) -> ServiceError:
        """What it means that the bytes end without a terminal event."""
        if self._headers.get(failures.PARTIAL_HEADER) == "true":
            return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
        if rest and not self._started and not rest.startswith(FIELDS):
            return failures.failure_in_response(HTTP_OK, self._headers, rest)
        how = "broke off inside an event" if rest else "ended without a terminal event"
        return UpstreamInterrupted(f"The upstream's answer {how}.")

    def _read(self, frames: Iterable[Frame]) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                if event := self._event(*frame):
                    events.append(event)
                    self._started = True
                if self.over:
                    break
        except EventTooLarge:
            self._fail(UpstreamProtocol("The upstream sent an event over the limit."))
        return events

    def _event(self, name: str, data: bytes, http_status: int | None) -> Event | None:
        """The event of a frame, unless it is none or reports a failure."""
        data = redacted(data, self._secret)
        if data.strip() in NOTHING:
            return None
        decoded = not name or name in TERMINAL_EVENTS
        content = parse_object(data) if decoded else None
        name = name or as_text((content or {}).get("type"))
        refused = (http_status or HTTP_OK) >= HTTP_BAD and not name.startswith(RESPONSE)
        failed = (not name or name in TERMINAL_EVENTS) and failures.is_failure(content or {})
        if name in (failures.FAILED, ERROR) or refused or failed:
            headers, status = self._headers, http_status or HTTP_OK
            self._fail(failures.failure_in_event(name, data, headers, http_status=status))
        elif not name or name.startswith(SYNTHETIC_PREFIX) or not name.isprintable():
            self._fail(UpstreamProtocol("The upstream sent an event without a valid name."))
        elif decoded and content is None:
            self._fail(UpstreamProtocol("The upstream's terminal event is not JSON."))
        else:
            self.over = name in TERMINAL_EVENTS
            return Event(name, data)
        return None

    def _fail(self, error: ServiceError) -> None:
        if not self.over:
            self.error, self.over = error, True
            # What was served before a failure may be billed.
            error.billed = "maybe" if self._started else error.billed


def redacted(data: bytes, secret: bytes) -> bytes:
    """`data` with the key, should the upstream echo it, made unreadable."""
    return data.replace(secret, HIDDEN) if secret in data else data
