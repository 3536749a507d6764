"""What moved to `tests.peer`, until nothing imports it from here any more."""

from tests.peer import (
    END,
    STREAM,
    Part,
    Peer,
    answer,
    chunk,
    holds,
    listening,
    resets_after,
    says,
    says_then,
    serving,
    stream,
)

__all__ = [
    "END",
    "STREAM",
    "Part",
    "Peer",
    "answer",
    "chunk",
    "holds",
    "listening",
    "resets_after",
    "says",
    "says_then",
    "serving",
    "stream",
]
