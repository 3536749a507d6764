"""Where the items of a HEIC file lie (ISO/IEC 14496-12 §8.11.3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.images.boxes import Box, find, number_at
from app.images.structure import PARTS_MAX

IN_FILE, IN_BOX = 0, 1
"""Construction methods: the numbers count from the file's start, or from that of `idat`."""


@dataclass(frozen=True, slots=True)
class _Place:
    """In what an item lies, from where its parts count, and where they are told of."""

    method: int
    base: int
    parts: Sequence[int]


class Items:
    """The items of a file, each of which is one piece, or several."""

    def __init__(self, file: memoryview) -> None:
        self._file = file
        inside = find(file, b"meta", b"idat")
        self._regions = {IN_FILE: file, IN_BOX: file[inside.start : inside.end] if inside else None}
        box = find(file, b"meta", b"iloc")
        sizes = number_at(file, box.start + 4, 2) if box else 0
        self._offset_bytes, self._length_bytes = sizes >> 12, sizes >> 8 & 15
        self._base_bytes, self._index_bytes = sizes >> 4 & 15, sizes & 15
        self._places = dict(self._located(box)) if box else {}

    def pieces(self, item: int) -> list[memoryview]:
        """An item's bytes, where they lie.

        Raises:
            ValueError: It is not there, cut off, or has more bytes than the file.
        """
        place = self._places.get(item)
        region = self._regions.get(place.method) if place else None
        if not place or region is None:
            raise ValueError("an item is not there")
        found, n_bytes = list[memoryview](), 0
        for at in place.parts:
            start = place.base + number_at(self._file, at, self._offset_bytes)
            count = number_at(self._file, at + self._offset_bytes, self._length_bytes)
            end = start + count if self._length_bytes else len(region)
            n_bytes += end - start
            if not start <= end <= len(region) or n_bytes > len(self._file):
                raise ValueError("an item is cut off")
            found.append(region[start:end])
        return found

    def data(self, item: int) -> memoryview:
        """An item's bytes; a copy where they are in several pieces.

        Raises:
            ValueError: As `pieces`.
        """
        found = self.pieces(item)
        return found[0] if len(found) == 1 else memoryview(b"".join(found))

    def _located(self, box: Box) -> Iterator[tuple[int, _Place]]:
        file, version = self._file, number_at(self._file, box.start, 1)
        index_bytes = self._index_bytes if version else 0
        id_bytes = 4 if version == 2 else 2  # noqa: PLR2004  # as §8.11.3.2 says
        step = index_bytes + self._offset_bytes + self._length_bytes
        at = box.start + 6 + id_bytes
        for _ in range(min(number_at(file, at - id_bytes, id_bytes), PARTS_MAX)):
            item, at = number_at(file, at, id_bytes), at + id_bytes
            method = number_at(file, at, 2) & 15 if version else IN_FILE
            at += 2 if version else 0
            elsewhere = number_at(file, at, 2)
            base = number_at(file, at + 2, self._base_bytes)
            at += 2 + self._base_bytes
            first, at = at + 2 + index_bytes, at + 2 + number_at(file, at, 2) * step
            if at > box.end or not step:
                return
            if not elsewhere:
                yield item, _Place(method, base, range(first, at, step))
