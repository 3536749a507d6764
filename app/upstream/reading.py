"""One answer being read: the upstream's bytes in, its events or the failure it tells out. No I/O.

Relays what it does not act on without a look inside: a text delta is framed, not decoded.
"""

import json
from collections.abc import Iterable

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol
from app.models import OWN_PREFIX, Event
from app.upstream.answer import TERMINAL_EVENTS
from app.upstream.failures import (
    FAILED,
    PARTIAL_HEADER,
    Headers,
    from_failed,
    from_frame,
    from_response,
    tells_failure,
)
from app.upstream.sse import Decoder, EventTooLarge, Frame, Heads, looks_framed, new

RESPONSE, ERROR = "response.", "error"
LAST = TERMINAL_EVENTS | {FAILED}
HTTP_OK, HTTP_BAD = 200, 400
NOTHING = (b"", b"[DONE]")
HEAD_MAX_BYTES = 65_536
"""As much is kept of bytes which give no event, to tell what they are."""
HIDDEN = b"***"


class Reading:
    """Feed it chunks until it is `over`; at the end of the bytes, `end()` it.

    Then either `ended` is true, for the answer's last event has come, or `error` says why not, or
    neither: the answer has `broken()` off.
    """

    __slots__ = (
        *("over", "ended", "opened", "error"),
        *("_decoder", "_headers", "_secret", "_head", "_cut_inside"),
    )

    def __init__(
        self, *, max_event_bytes: int, headers: Headers, secret: bytes, heads: Heads | None = None
    ) -> None:
        self.over = self.ended = self.opened = False
        self.error: ServiceError | None = None
        self._decoder = Decoder(max_event_bytes, heads)
        self._headers = headers
        self._secret = secret
        self._head = b""
        self._cut_inside = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, up to the one that ends the answer."""
        if not self.opened:
            self._head = (self._head + chunk)[:HEAD_MAX_BYTES]
        try:
            return self._read(self._decoder.feed(chunk))
        except EventTooLarge as exc:
            events = self._read(exc.before)
            if not self.over:
                self._fail(UpstreamProtocol("The upstream sent an event over the limit."))
            return events

    def end(self) -> list[Event]:
        """The event of a last block without its blank line, where its data is whole."""
        cut_inside = self._decoder.inside_event
        whole = [frame for frame in self._decoder.end() if _is_object(frame.data)]
        self._cut_inside = cut_inside and not whole
        events = self._read(whole)
        self.over = True
        return events

    def broken(self) -> ServiceError:
        """What it means that the bytes ended here, without a terminal event."""
        head = redacted(self._head, self._secret)
        if self._headers.get(PARTIAL_HEADER) == "true":
            return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
        if not self.opened and head.strip() and not looks_framed(head):
            return from_response(HTTP_OK, self._headers, head)
        if self._cut_inside:
            return UpstreamInterrupted("The upstream's answer broke off inside an event.")
        return UpstreamInterrupted("The upstream's answer ended without its last event.")

    def _read(self, frames: Iterable[Frame]) -> list[Event]:
        events: list[Event] = []
        secret = self._secret
        for name, came, http_status in frames:
            if self.over:
                break
            data = came if came.find(secret) < 0 else redacted(came, secret)
            if data and name not in LAST and name.startswith(RESPONSE):
                events.append(new(Event, (name, data)))
            elif event := self._weigh(name, data, http_status):
                events.append(event)
        if events and self._head:
            self.opened = True
            self._head = b""
        return events

    def _weigh(self, name: str, data: bytes, http_status: int | None) -> Event | None:
        """The event of a frame that may be more than a piece of the answer."""
        if data.strip() in NOTHING:
            return None
        self.opened = True
        name = name or _type_within(data)
        if error := self._failure(name, http_status, data):
            self._fail(error)
            return None
        self.over = self.ended = name in TERMINAL_EVENTS
        return Event(name, data)

    def _fail(self, error: ServiceError) -> None:
        self.error, self.over = error, True

    def _failure(self, name: str, http_status: int | None, data: bytes) -> ServiceError | None:
        if name == FAILED:
            return from_failed(data, self._headers)
        refused = (http_status or HTTP_OK) >= HTTP_BAD and not name.startswith(RESPONSE)
        if name == ERROR or refused or (not name and tells_failure(data)):
            return from_frame(data, http_status, self._headers)
        if not name or name.startswith(OWN_PREFIX):
            return UpstreamProtocol("The upstream sent an event of no known kind.")
        if name not in TERMINAL_EVENTS:
            return None
        if not _is_object(data):
            return UpstreamProtocol("The upstream's last event cannot be read.")
        return from_frame(data, http_status, self._headers) if tells_failure(data) else None


def redacted(data: bytes, secret: bytes) -> bytes:
    """`data` with the key, should the upstream echo it, made unreadable."""
    return data.replace(secret, HIDDEN) if secret and secret in data else data


def _is_object(data: bytes) -> bool:
    return isinstance(_json(data), dict)


def _type_within(data: bytes) -> str:
    """The `type` that the data names; every event of the Responses API bears one."""
    found = _json(data)
    name = found.get("type") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def _json(data: bytes) -> object:
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found
