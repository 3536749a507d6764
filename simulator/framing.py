"""Events as bytes, and bytes as chunks. Pure.

The vendor's framing: line feeds, no space after a field's colon, the HTTP status as a comment
inside every event, ids from 1, and no end marker.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.events import Beat
    from simulator.plan import Framing

DONE_MARKER: Final = "data:[DONE]"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_INSIDE_CHARACTER: Final = re.compile(rb"(?=[\x80-\xbf])")
_BYTES: Final = tuple(bytes([value]) for value in range(256))


def frame(beat: Beat, framing: Framing, *, status: int = 200) -> bytes:
    """One event with its closing blank line."""
    data = [f"data:{beat.data}"]
    if framing.data_lines == "three":
        # Between an object's braces and its members a line feed is JSON's own white space.
        data = ["data:{", f"data:{beat.data[1:-1]}", "data:}"]
    lines = [f"id:{beat.number}", *_name(beat.type, framing, status), *data]
    if framing.comments:
        lines = [":", "", ": a comment block", "", ": a comment line", lines[0], ":", *lines[1:]]
    return _encode(lines, framing) + framing.newline.encode() * (
        3 if framing.extra_blank_lines else 1
    )


def marker(framing: Framing) -> bytes:
    """The end marker of other vendors."""
    return _encode([DONE_MARKER, ""], framing)


def unclosed(framed: bytes, framing: Framing) -> bytes:
    """A framed event without its blank line."""
    return framed.rstrip(b"\r\n") + framing.newline.encode()


def chunks(framed: bytes, framing: Framing) -> Sequence[bytes]:
    """How the bytes of one event are cut for sending."""
    if framing.chunks == "event":
        return (framed,)
    if framing.chunks == "byte":
        return [_BYTES[value] for value in framed]
    return _INSIDE_CHARACTER.split(framed)


def _name(kind: str, framing: Framing, status: int) -> list[str]:
    if framing.name == "glued":
        return [f"event:{kind}:HTTP_STATUS/{status}"]
    comment = f":HTTP_STATUS/{status}"
    return [comment] if framing.name == "none" else [f"event:{kind}", comment]


def _encode(lines: list[str], framing: Framing) -> bytes:
    if framing.colon != ":":
        lines = [re.sub(r"^(\w+):", rf"\1{framing.colon}", line) for line in lines]
    text = "".join(f"{line}{framing.newline}" for line in lines)
    return text.encode("utf-8", "replace")
