"""The segments of a JPEG (ITU-T T.81 Annex B), and what those say that scans are read by."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from app.images.jpeg import EOI, SOS, next_marker

START, END = b"\xff\xd8", b"\xff\xd9"
COUNTS_BYTES = 16
"""Of a table of Huffman codes: how many there are of each length."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker's segment: what it says, all of it as it is stored, and the scan that follows."""

    marker: int
    body: memoryview
    stored: memoryview
    scan: memoryview


def segments_of(part: memoryview) -> Iterator[Segment]:
    """Those of a file, or of a part of one that begins with one."""
    at = 2 if part[:2] == START else 0
    none = part[:0]
    while at + 1 < len(part):
        marker = part[at + 1]
        if marker == EOI:
            yield Segment(marker, none, part[at : at + 2], none)
            return
        end = at + 2 + int.from_bytes(part[at + 2 : at + 4], "big")
        behind = next_marker(part, end) if marker == SOS else end
        yield Segment(marker, part[at + 4 : end], part[at:end], part[end:behind])
        at = behind


def components_of(scan: memoryview) -> bytes:
    """The numbers of the components that a scan is of."""
    return bytes(scan[1 : 1 + 2 * scan[0] : 2])


def begins_means(scan: memoryview) -> bool:
    """Whether it holds means, and no bits of them came before (§G.1.1.1.2)."""
    return scan[-3] == 0 and scan[-1] < 1 << 4


def means_tables(body: memoryview) -> Iterator[tuple[int, bytes]]:
    """The tables of class 0 in a segment that defines some (§B.2.4.2)."""
    while len(body) > COUNTS_BYTES:
        behind = 1 + COUNTS_BYTES + sum(body[1 : 1 + COUNTS_BYTES])
        if body[0] < 1 << 4:
            yield body[0], bytes(body[1:behind])
        body = body[behind:]


def stored_segment(marker: int, body: bytes) -> bytes:
    """One as it is stored."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
