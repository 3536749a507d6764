"""Whether a HEIC or AVIF file is whole, by its top-level boxes (ISO/IEC 14496-12 §4.2).

Decoders fill in what is missing of a tiled picture, so half a photo would pass for a whole one.
"""

BOXES_MAX = 1_024
"""Files of cameras have about five."""

TO_THE_END, LONG = 0, 1
"""Sizes with a meaning of their own; a long box has its size in the eight bytes that follow."""


def is_whole(data: memoryview) -> bool:
    """Whether each box ends within the file."""
    at = 0
    for _ in range(BOXES_MAX):
        if at == len(data):
            return True
        size = int.from_bytes(data[at : at + 4], "big")
        if size == TO_THE_END:
            return at + 8 <= len(data)
        if size == LONG:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8 or at + size > len(data):  # noqa: PLR2004 - a box's own head
            return False
        at += size
    return False
