"""The boxes that HEIC and AVIF files are made of (ISO/IEC 14496-12 §4.2), found by their names."""

from collections.abc import Iterator, Sequence
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


class Properties:
    """What is said of the items of a HEIF file (ISO/IEC 23008-12 §9.3)."""

    def __init__(self, file: memoryview) -> None:
        held, said = find(file, b"meta", b"iprp", b"ipco"), find(file, b"meta", b"iprp", b"ipma")
        self._file = file
        self._every = list(boxes(file, held.start, held.end)) if held else []
        self._place_bytes = 1 + number_at(file, said.start + 3, 1) % 2 if said else 1
        self._places = dict(self._associated(file[: said.end], said.start)) if said else {}

    def of(self, item: int) -> list[Box]:
        """The properties of one of them."""
        n_bytes = self._place_bytes
        essential = 1 << (8 * n_bytes - 1)
        starts = self._places.get(item, ())
        places = (number_at(self._file, start, n_bytes) % essential for start in starts)
        return [self._every[place - 1] for place in places if 0 < place <= len(self._every)]

    def _associated(self, file: memoryview, start: int) -> Iterator[tuple[int, range]]:
        """By item, where the numbers of its properties stand."""
        id_bytes, at = 4 if number_at(file, start, 1) else 2, start + 8
        for _ in range(min(number_at(file, start + 4, 4), PARTS_MAX)):
            number, count = number_at(file, at, id_bytes), number_at(file, at + id_bytes, 1)
            first = at + id_bytes + 1
            at = first + count * self._place_bytes
            if at > len(file):
                return
            yield number, range(first, at, self._place_bytes)


def size_of(file: memoryview, properties: Sequence[Box]) -> tuple[int, int]:
    """An item's size as it is announced (`ispe`, ISO/IEC 23008-12 §6.5.3), in pixels.

    Raises:
        ValueError: It is not.
    """
    box = next((box for box in properties if box.kind == b"ispe"), None)
    width, height = (number_at(file, box.start + at, 4) for at in (4, 8)) if box else (0, 0)
    if not width or not height:
        raise ValueError("a picture's size is not announced")
    return width, height


def aperture_of(file: memoryview, box: Box, size: tuple[int, int]) -> tuple[int, int] | None:
    """What a `clap` (ISO/IEC 14496-12 §12.1.4) leaves of a picture of this size, in pixels.

    `None` where that does not begin in the upper left corner, or is not whole, or nothing.
    """
    numbers = [number_at(file, box.start + at, 4) for at in range(0, 32, 4)]
    left = list[int]()
    for side, at in zip(size, (0, 2), strict=True):
        count, one, offset, part = *numbers[at : at + 2], *numbers[at + 4 : at + 6]
        offset -= (offset >> 31) << 32
        # Of the centre: as far from that of all as half of what is cut off, to the upper left.
        whole = one == 1 and 0 < count <= side and part > 0
        if not whole or 2 * offset != (count - side) * part:
            return None
        left.append(count)
    return left[0], left[1]


def references(file: memoryview, kind: bytes) -> Iterator[tuple[Box, int, list[int]]]:
    """Those of one kind (ISO/IEC 14496-12 §8.11.12): the box, from which item, and to which."""
    held = find(file, b"meta", b"iref")
    if not held:
        return
    n_bytes = 4 if file[held.start - VERSION_BYTES[b"iref"]] else 2
    for box in boxes(file, held.start, held.end):
        if box.kind == kind:
            starts = range(box.start + n_bytes + 2, box.end - n_bytes + 1, n_bytes)
            count = number_at(file, box.start + n_bytes, 2)
            targets = [number_at(file, start, n_bytes) for start in starts[:count]]
            yield box, number_at(file, box.start, n_bytes), targets


def tiles_of(file: memoryview, item: int) -> list[int]:
    """The items that one is put together of (ISO/IEC 23008-12 §6.6.2.3)."""
    return next((to for _, one, to in references(file, b"dimg") if one == item), [])


def number_at(data: memoryview, at: int, n_bytes: int) -> int:
    """The number that stands at a place; what is beyond the data counts for nothing."""
    return int.from_bytes(data[at : at + n_bytes], "big")
