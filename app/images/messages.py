"""The messages between the service and a worker process, over the socket pair that joins them.

A request is the length of a file in four bytes (big endian), and the file. An answer is a code in
one byte, a length in four, and that many bytes. Nothing is pickled: a worker that a hostile picture
has taken over can send bytes, and no more than `MAX_ANSWER_BYTES` of them.
"""

import struct
from enum import IntEnum

REQUEST = struct.Struct("!I")
ANSWER = struct.Struct("!BI")
SIZE = struct.Struct("!II")
"""Width and height in pixels, the bytes of an answer with the code `SIZE_REFUSED`."""

MAX_ANSWER_BYTES = 1 << 24


class Code(IntEnum):
    """What an answer is."""

    PREPARED = 0
    """The bytes are a JPEG file."""
    SIZE_REFUSED = 1
    UNREADABLE = 2
    """The bytes say why, for the log."""
    TOO_COMPLEX = 3
    """It ran out of memory. The worker ends itself after this answer."""
    READY = 4
    """Sent once, before the first request."""
