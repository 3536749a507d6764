"""The boxes that HEIC and AVIF files are made of (ISO/IEC 14496-12 §4.2), found by their names."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.images.structure import PARTS_MAX

SIZE_BYTES, HEADER_BYTES = 4, 8
LARGE_BYTES = 8
"""Of the size that follows a header whose own is 1."""

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
        size, kind = _number(data, start, SIZE_BYTES), bytes(data[start + SIZE_BYTES :][:4])
        content = start + HEADER_BYTES
        if size == 1:
            size, content = _number(data, content, LARGE_BYTES), content + LARGE_BYTES
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
    id_bytes = 4 if _number(said, 0, 1) else 2
    place_bytes = 1 + _number(said, 3, 1) % 2
    at = 8
    for _ in range(min(_number(said, 4, 4), PARTS_MAX)):
        number, count = _number(said, at, id_bytes), _number(said, at + id_bytes, 1)
        first, at = at + id_bytes + 1, at + id_bytes + 1 + count * place_bytes
        if number == item:
            essential = 1 << (8 * place_bytes - 1)
            starts = range(first, at, place_bytes)
            return [_number(said, start, place_bytes) % essential for start in starts]
    return []


def _number(data: memoryview, at: int, n_bytes: int) -> int:
    return int.from_bytes(data[at : at + n_bytes], "big")
