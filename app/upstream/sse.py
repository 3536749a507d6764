"""Server-sent events in (WHATWG HTML §9.2), as DashScope writes them: bytes to frames, no I/O.

Differs from the standard on purpose: `id` and `retry` are dropped, a comment `:HTTP_STATUS/429`
is read, also glued to the event name, and a block at the end without its blank line is given.
"""

import re
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
HTTP_STATUS = re.compile(rb":HTTP_STATUS/(\d{3})")
USUAL = re.compile(rb"(?:id:[^\n]*\n)?(event:[^\n]*(?:\n:[^\n]*)*)\ndata: ?([^\n]*)\n\n").match
"""A whole block `[id] event [comments] data` with one data line: nearly all that ever come."""

HEADS_KEPT = 256
"""Event names differ by some sixty; a bound in case an upstream invents them."""
HEAD_MAX_BYTES = 200
"""Longer ones are no event names, and not worth keeping."""
FIELDS = (b":", b"data", b"event", b"id", b"retry")


Heads = dict[bytes, tuple[str, int | None]]
"""What stands ahead of the data in a block, as read before: its event's name and status."""


class EventTooLarge(Exception):
    """An event is over the limit. `before` are the frames that ended ahead of it."""

    def __init__(self, before: "list[Frame]") -> None:
        super().__init__("event over the size limit")
        self.before = before


class Frame(NamedTuple):
    """One event as framed: its name ("" without one), its data, its status comment if any."""

    type: str
    data: bytes
    http_status: int | None = None


new = tuple.__new__
"""What making a `NamedTuple` comes down to, at a third of its cost."""


class Decoder:
    """Feed it bytes cut anywhere; it gives the frames that they complete.

    Holds at most `max_event_bytes` and the chunk in hand, and looks at every byte once. `heads`
    may be shared with other streams of one upstream, whose events have the same names.
    """

    __slots__ = ("_after_cr", "_heads", "_max_event_bytes", "_pending", "_start")

    def __init__(self, max_event_bytes: int, heads: Heads | None = None) -> None:
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()
        self._start: bytes | None = b""
        self._after_cr = False
        self._heads: Heads = {} if heads is None else heads

    @property
    def inside_event(self) -> bool:
        """Whether bytes of an event are held which has not ended yet."""
        return bool(self._pending.strip())

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes.

        Raises:
            EventTooLarge: As soon as the bytes of one event exceed the limit.
        """
        if self._start is not None:
            chunk = self._without_bom(chunk)
        # `in` would try the bytes as a number first, and raise and drop an error: a tenth of this.
        if self._after_cr or chunk.find(b"\r") >= 0:
            chunk = self._with_line_feeds(chunk)
        if not self._pending:
            return self._split(chunk)
        looked_at = len(self._pending) - 1
        self._pending += chunk
        if self._pending.find(b"\n\n", looked_at) < 0:
            if len(self._pending) > self._max_event_bytes:
                self._pending.clear()
                raise EventTooLarge([])
            return []
        chunk = bytes(self._pending)
        self._pending.clear()
        return self._split(chunk)

    def end(self) -> list[Frame]:
        """The frame of a last block without its blank line, if there is one."""
        block = (self._start or b"") + bytes(self._pending)
        self._pending.clear()
        self._start = None
        frame = _read_block(block)
        return [frame] if frame else []

    def _without_bom(self, chunk: bytes) -> bytes:
        """`chunk` behind a byte-order mark, which may itself be cut."""
        chunk = (self._start or b"") + chunk
        if len(chunk) < len(BOM) and BOM.startswith(chunk):
            self._start = chunk
            return b""
        self._start = None
        return chunk.removeprefix(BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """`chunk` with every line end as LF; a CR LF may be cut between two chunks."""
        if not chunk:
            return chunk
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _split(self, text: bytes) -> list[Frame]:
        """The frames of the whole blocks in `text`; the rest waits for more."""
        frames: list[Frame] = []
        heads = self._heads
        most, start, stop = self._max_event_bytes, 0, len(text)
        while start < stop:
            usual = USUAL(text, start)
            end = usual.end() - 2 if usual else text.find(b"\n\n", start)
            if end < 0:
                break
            if end > start + most:
                raise EventTooLarge(frames)
            frame = None
            if usual:
                head, data = usual.groups()
                if known := heads.get(head) or self._read_head(head):
                    frame = new(Frame, (known[0], data, known[1]))
            if frame := frame or _read_block(text[start:end]):
                frames.append(frame)
            start = end + 2
        if stop - start > most:
            raise EventTooLarge(frames)
        if start < stop:
            self._pending += text[start:]
        return frames

    def _read_head(self, head: bytes) -> tuple[str, int | None] | None:
        """Name and status of an `event` line with nothing but comments behind it, and keep it."""
        if len(head) > HEAD_MAX_BYTES:
            return None
        line, *rest = head.split(b"\n")
        name, status = _unglued(line.removeprefix(b"event:").removeprefix(b" "))
        for comment in rest:
            if found := HTTP_STATUS.match(comment):
                status = int(found[1])
        if len(self._heads) < HEADS_KEPT:
            self._heads[head] = name, status
        return name, status


def _read_block(block: bytes) -> Frame | None:
    """The frame of any block, by the standard's steps; `None` without a data line."""
    name, status, data = "", None, []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            named, glued = _unglued(value)
            name, status = named, glued or status
        elif not field and (found := HTTP_STATUS.match(line)):
            status = int(found[1])
    return Frame(name, b"\n".join(data), status) if data else None


def _unglued(value: bytes) -> tuple[str, int | None]:
    """An event name, and the status that some gateways glue to it."""
    found = HTTP_STATUS.search(value)
    if not found:
        return value.decode(errors="replace"), None
    return value[: found.start()].decode(errors="replace").strip(), int(found[1])


def looks_framed(text: bytes) -> bool:
    """Whether `text` begins as an event stream does, rather than as a page or a JSON body."""
    return text.lstrip().removeprefix(BOM).startswith(FIELDS)
