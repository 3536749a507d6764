"""Whether a HEIC or AVIF file is whole, by its top-level boxes (ISO/IEC 14496-12 §4.2).

Decoders fill in missing tiles, so half a photo would pass for a whole one.
"""

BOXES_MAX = 1_024
HEAD_BYTES = 8
TO_THE_END, LONG = 0, 1
"""Sizes with a meaning of their own; a long box has its size behind its head."""


def is_whole(data: memoryview) -> bool:
    """Whether each box ends within the file."""
    at = 0
    for _ in range(BOXES_MAX):
        size = int.from_bytes(data[at : at + 4], "big")
        if at == len(data) or (size == TO_THE_END and at + HEAD_BYTES <= len(data)):
            return True
        if size == LONG:
            size = int.from_bytes(data[at + HEAD_BYTES : at + 2 * HEAD_BYTES], "big")
        if size < HEAD_BYTES or at + size > len(data):
            return False
        at += size
    return False
