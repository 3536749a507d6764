"""Decoder of server-sent events (WHATWG HTML §9.2) as DashScope writes them. No I/O.

Deliberate differences from the standard:

1. `id` and `retry` are dropped.
2. The comment `:HTTP_STATUS/429` is read, also when it is glued to the event's name.
3. `end()` gives a last block that lacks its blank line.
4. A byte-order mark is ignored before any block, not only before the first.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
HTTP_STATUS = re.compile(rb":HTTP_STATUS/(\d{3})")
FIELDS = (b":", b"data", b"event", b"id", b"retry")  # How an event stream begins, unlike a page.


class Frame(NamedTuple):
    """One event: its name ("" without one), its data, and its status comment if it has one."""

    name: str
    data: bytes
    http_status: int | None = None


class EventTooLarge(Exception):
    """An event exceeds the limit."""


class Decoder:
    """Takes bytes cut anywhere; holds at most `max_event_bytes` and the chunk at hand."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()
        self._after_cr = False

    @property
    def rest(self) -> bytes:
        """What has come of an event that has not ended."""
        return bytes(self._pending)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that `chunk` completes; raises `EventTooLarge` if one event is."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        scanned = max(len(self._pending) - 1, 0)
        self._pending += chunk
        if self._pending.find(b"\n\n", scanned) >= 0:
            *blocks, rest = self.rest.split(b"\n\n")
            self._pending[:] = rest
            for block in blocks:
                if len(block) > self._max_event_bytes:
                    raise EventTooLarge
                if frame := _read_block(block):
                    yield frame
        if len(self._pending) > self._max_event_bytes:
            raise EventTooLarge

    def end(self) -> list[Frame]:
        """The frame of a last block that lacks its blank line, if there is one."""
        frame = _read_block(self.rest)
        self._pending.clear()
        return [frame] if frame else []

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """`chunk` with every line end as LF; a CR LF may be cut between two chunks."""
        if not chunk:
            return chunk
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _read_block(block: bytes) -> Frame | None:
    """The frame of any block, by the standard's steps; `None` without a data line."""
    name, status, data = "", None, []
    for line in block.removeprefix(BOM).split(b"\n"):
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
