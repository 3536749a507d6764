"""The boxes that HEIC and AVIF files are made of (ISO/IEC 14496-12 §4.2), found by their names."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.images.structure import PARTS_MAX

SIZE_BYTES, HEADER_BYTES = 4, 8
LARGE_BYTES = 8
"""Of the size that follows a header whose own is 1."""

ALPHA_TYPES = (
    b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha",
    b"urn:mpeg:hevc:2015:auxid:1",
    b"urn:mpeg:avc:2015:auxid:1",
)
"""What an auxiliary picture that is alpha calls itself (MIAF, ISO/IEC 23000-22 §7.3.5)."""

VERSION_BYTES = {b"meta": 4, b"iref": 4}
"""What comes before the boxes inside of those that have a version and flags."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box's header is, and where its content begins and ends."""

    kind: bytes
    at: int
    start: int
    end: int


def boxes(data: memoryview, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places; what is damaged ends them."""
    for _ in range(PARTS_MAX):
        size, kind = number_at(data, start, SIZE_BYTES), bytes(data[start + SIZE_BYTES :][:4])
        content = start + HEADER_BYTES
        if size == 1:
            size, content = number_at(data, content, LARGE_BYTES), content + LARGE_BYTES
        behind = start + size if size else end
        if behind > end or behind < content:
            return
        yield Box(kind, start, content + VERSION_BYTES.get(kind, 0), behind)
        start = behind


def find(data: memoryview, *path: bytes) -> Box | None:
    """The first box of the last name, within the first of the one before, and so on."""
    found = Box(b"", 0, 0, len(data))
    for kind in path:
        inside = boxes(data, found.start, found.end)
        box = next((one for one in inside if one.kind == kind), None)
        if not box:
            return None
        found = box
    return found


def properties(data: memoryview, item: int) -> list[Box]:
    """The properties of an item of a HEIF file (ISO/IEC 23008-12 §9.3)."""
    held, said = find(data, b"meta", b"iprp", b"ipco"), find(data, b"meta", b"iprp", b"ipma")
    if not held or not said:
        return []
    every = list(boxes(data, held.start, held.end))
    places = _associated(data[said.start : said.end], item)
    return [every[place - 1] for place in places if 0 < place <= len(every)]


def _associated(said: memoryview, item: int) -> list[int]:
    """Which of the properties belong to an item, from 1 on."""
    id_bytes = 4 if number_at(said, 0, 1) else 2
    place_bytes = 1 + number_at(said, 3, 1) % 2
    at = 8
    for _ in range(min(number_at(said, 4, 4), PARTS_MAX)):
        number, count = number_at(said, at, id_bytes), number_at(said, at + id_bytes, 1)
        first, at = at + id_bytes + 1, at + id_bytes + 1 + count * place_bytes
        if number == item:
            essential = 1 << (8 * place_bytes - 1)
            starts = range(first, at, place_bytes)
            return [number_at(said, start, place_bytes) % essential for start in starts]
    return []


def number_at(data: memoryview, at: int, n_bytes: int) -> int:
    """The number that stands at a place; what is beyond the data counts for nothing."""
    return int.from_bytes(data[at : at + n_bytes], "big")
