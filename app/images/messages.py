"""What the service and its worker processes say to each other, and what both must know.

A request is the length of a file in four bytes (big endian), and the file; an answer has a code of
one byte before that. Nothing is pickled: a worker that a picture took over can send bytes only.
"""

import struct
from enum import IntEnum

REQUEST, ANSWER = struct.Struct("!I"), struct.Struct("!BI")
SIZE = struct.Struct("!II")  # Width and height in pixels: what `SIZE_REFUSED` comes with.
Code = IntEnum("Code", "PREPARED SIZE_REFUSED UNREADABLE READY", start=0)
"""`PREPARED`: a JPEG file. `UNREADABLE`: why, for the log. `READY` comes first, unasked."""
NICENESS = 5  # Of workers: the event loop goes first.
# The upstream's bounds: the longest `data:` URL; pixels of the shorter side; long to short side.
MAX_FILE_BYTES = (10_485_760 - len("data:image/jpeg;base64,")) // 4 * 3
MIN_SIDE, MAX_RATIO = 11, 200


def size_problem(width: int, height: int, max_pixels: int) -> str | None:
    """Why a picture of this size is refused, or `None`. `max_pixels=0` allows any number."""
    short, long = sorted((width, height))
    size = f"The picture is {width} x {height} pixels"
    if short < MIN_SIDE:
        return f"{size}; both sides must be longer than {MIN_SIDE - 1} pixels."
    if long > short * MAX_RATIO:
        return f"{size}; the longer side may be at most {MAX_RATIO} times the shorter one."
    if 0 < max_pixels < short * long:
        return f"{size}; at most {max_pixels} pixels are accepted."
    return None
