"""One streamed answer: the upstream's bytes in, its events or its failure out. No I/O.

Server-sent events (WHATWG HTML §9.2) as DashScope writes them. Deliberate differences:

1. `id` and `retry` are dropped.
2. The comment `:HTTP_STATUS/429` is read, also when it is glued to the event's name.
3. A last block that lacks its blank line is read too.
4. A byte-order mark is ignored before any block, not only before the first.

What is not acted on is relayed without decoding its JSON: a text delta is only framed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol
from app.models import SYNTHETIC_PREFIX, Event
from app.upstream import failures
from app.upstream.answer import TERMINAL_EVENTS
from app.upstream.lenient import as_text, parse_object

HTTP_STATUS = re.compile(rb":HTTP_STATUS/(\d{3})")
FIELDS = (b":", b"data", b"event", b"id", b"retry")  # How an event stream begins, unlike a page.
HTTP_BAD = 400
TOO_LARGE = "The upstream sent an event over the limit."


class Frame(NamedTuple):
    """One event: its name ("" without one), its data, and its status comment if it has one."""

    name: str
    data: bytes
    http_status: int | None = None


class Decoder:
    """Takes bytes cut anywhere; holds at most `max_event_bytes` and the chunk at hand."""

    def __init__(self, max_event_bytes: int) -> None:
        self.rest = bytearray()  # What has come of an event that has not ended.
        self._max_event_bytes = max_event_bytes
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that `chunk` completes; raises `UpstreamProtocol` over the limit."""
        if chunk and (self._after_cr or b"\r" in chunk):
            # Every line end as LF; a CR LF may be cut between two chunks.
            chunk = chunk.removeprefix(b"\n") if self._after_cr else chunk
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        seen = max(len(self.rest) - 1, 0)
        self.rest += chunk
        if self.rest.find(b"\n\n", seen) >= 0:
            *blocks, self.rest = self.rest.split(b"\n\n")
            for block in blocks:
                if len(block) > self._max_event_bytes:
                    raise UpstreamProtocol(TOO_LARGE)
                if frame := _read_block(bytes(block)):
                    yield frame
        if len(self.rest) > self._max_event_bytes:
            raise UpstreamProtocol(TOO_LARGE)


def _read_block(block: bytes) -> Frame | None:
    """The frame of any block, by the standard's steps; `None` without a data line."""
    name, status, data = "", None, []
    for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            glued = HTTP_STATUS.search(value)
            status = int(glued[1]) if glued else status
            value = value[: glued.start()].rstrip() if glued else value
            name = value.decode(errors="replace")
        elif not field and (found := HTTP_STATUS.match(line)):
            status = int(found[1])
    return Frame(name, b"\n".join(data), status) if data else None


class EventStreamReader:
    """Feed it chunks until it is `over`; at the end of the bytes, `end()` it."""

    def __init__(self, headers: failures.Headers, secret: bytes, max_event_bytes: int) -> None:
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
        rest = redacted(bytes(self._decoder.rest.strip()), self._secret)
        last = self._decoder.feed(b"\n\n")
        events = self._read(frame for frame in last if parse_object(frame.data))
        cut = self._headers.get(failures.PARTIAL_HEADER) == "true"
        if rest and not (cut or self._started or rest.startswith(FIELDS)):
            error = failures.failure_in_response(failures.HTTP_OK, self._headers, rest)
        else:
            how = "broke off inside an event" if rest else "ended without a terminal event"
            error = UpstreamInterrupted(failures.CUT if cut else f"The upstream's answer {how}.")
        error.__cause__ = cause
        self._fail(error)
        return events

    def _read(self, frames: Iterable[Frame]) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                if event := self._event(*frame):
                    events.append(event)
                    self._started = True
                if self.over:
                    break
        except UpstreamProtocol as exc:
            self._fail(exc)
        return events

    def _event(self, name: str, data: bytes, http_status: int | None) -> Event | None:
        """The event of a frame, unless it is none or reports a failure."""
        data = redacted(data, self._secret)
        if data.strip() in (b"", b"[DONE]"):
            return None
        decoded = not name or name in TERMINAL_EVENTS
        content = parse_object(data) if decoded else None
        name = name or as_text((content or {}).get("type"))
        status = http_status or failures.HTTP_OK
        refused = status >= HTTP_BAD and not name.startswith("response.")
        failed = (not name or name in TERMINAL_EVENTS) and failures.is_failure(content or {})
        if name in (failures.FAILED, "error") or refused or failed:
            self._fail(failures.failure_in(data, self._headers, status, name))
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
    return data.replace(secret, b"***") if secret in data else data
