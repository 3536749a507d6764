"""Events as bytes, and bytes as chunks.

The vendor's framing: line feeds, no space after a field's colon, the HTTP status as a comment
inside every event, ids from 1, and no end marker.
"""

import re
from typing import Final

from simulator.events import Event
from simulator.plan import Plan

_INSIDE_CHARACTER: Final = re.compile(rb"(?=[\x80-\xbf])")


def frame(event: Event, plan: Plan, *, status: int = 200) -> bytes:
    """One event with its closing blank line."""
    comment = f":HTTP_STATUS/{status}"
    name = [f"event:{event.type}", comment]
    if plan.event_name != "line":
        name = [comment] if plan.event_name == "none" else ["".join(name)]
    data = [f"data:{event.data}"]
    if plan.three_data_lines:
        # Between an object's braces and its members a line feed is JSON's own white space.
        data = ["data:{", f"data:{event.data[1:-1]}", "data:}"]
    lines = [f"id:{event.id}", *name, *data, ""]
    if plan.comments:
        lines = [":", "", ": a comment block", "", ": a comment line", lines[0], ":", *lines[1:]]
    if plan.extra_blank_lines:
        lines += ["", ""]
    return encode(lines, plan)


def chunks(framed: bytes, plan: Plan) -> list[bytes]:
    """The bytes of one event, split for sending."""
    if plan.chunks == "event":
        return [framed]
    if plan.chunks == "byte":
        return [framed[place : place + 1] for place in range(len(framed))]
    return _INSIDE_CHARACTER.split(framed)


def encode(lines: list[str], plan: Plan) -> bytes:
    """Lines with the plan's colon and line ends."""
    if plan.colon != ":":
        lines = [re.sub(r"^(\w+):", rf"\1{plan.colon}", line) for line in lines]
    return "".join(f"{line}{plan.newline}" for line in lines).encode("utf-8", "replace")
