"""The pictures that an AVIF file is made of, apart: its colours, its alpha, and tiles of either.

libavif decodes all at once. It is shown a file that says nothing of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from app.images.boxes import ALPHA_TYPES, Box, Properties, find, number_at, references

AUXILIARY_MAX = 16
"""References looked at. A picture has alpha, and may have depth and a gain map."""

META_MAX_BYTES = 1 << 20
"""Of the box that is copied. Those of pictures have a few kilobytes."""

NAMELESS = b"skip"
"""In place of a reference's type, so that it is passed over."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes that take the place of as many others in a file."""

    at: int
    data: bytes

    @property
    def end(self) -> int:
        return self.at + len(self.data)

    def over(self, file: memoryview, start: int, end: int) -> bytes:
        """The file from one place to another as it is with these."""
        before = bytes(file[start : min(end, self.at)]) if start < self.at else b""
        behind = bytes(file[max(start, self.end) : end]) if end > self.end else b""
        return before + self.data[max(start - self.at, 0) : max(end - self.at, 0)] + behind


@dataclass(frozen=True, slots=True)
class Layers:
    """What to read in place of the file's `meta` box, for its colours and for its alpha."""

    colour: Patch
    alpha: Patch


def find_layers(file: memoryview) -> Layers | None:
    """How to read the colours and alpha apart; `None` where the file does not have them so."""
    meta = whole_meta(file)
    found = _alpha_of(file, primary_of(file)) if meta else None
    if not meta or not found:
        return None
    reference, alpha = found
    colour = bytearray(meta.data)
    _replace(colour, reference.at + 4 - meta.at, NAMELESS)
    return Layers(
        Patch(meta.at, bytes(colour)), showing(file, Patch(meta.at, bytes(colour)), alpha)
    )


def whole_meta(file: memoryview) -> Patch | None:
    """The box that tells of pictures, if it tells of all, and is as large as such are."""
    meta, primary = find(file, b"meta"), find(file, b"meta", b"pitm")
    if not meta or not primary or meta.end - meta.at > META_MAX_BYTES or find(file, b"moov"):
        return None
    return Patch(meta.at, bytes(file[meta.at : meta.end]))


def primary_of(file: memoryview) -> int:
    """The item that is the picture; 0 where none is."""
    box = find(file, b"meta", b"pitm")
    return number_at(file, box.start + 4, 4 if file[box.start] else 2) if box else 0


def showing(file: memoryview, meta: Patch, item: int) -> Patch:
    """The same box, but with another item as the picture."""
    data, box = bytearray(meta.data), find(file, b"meta", b"pitm")
    if box:
        id_bytes = 4 if file[box.start] else 2
        _replace(data, box.start + 4 - meta.at, item.to_bytes(4, "big")[-id_bytes:])
    return Patch(meta.at, bytes(data))


def _alpha_of(file: memoryview, item: int) -> tuple[Box, int] | None:
    """The reference from the item that is alpha of this one, and it."""
    properties = Properties(file)
    for box, alpha, targets in islice(references(file, b"auxl"), AUXILIARY_MAX):
        if targets == [item] and _is_alpha(file, properties.of(alpha)):
            return box, alpha
    return None


def _is_alpha(file: memoryview, properties: Sequence[Box]) -> bool:
    kinds = (box for box in properties if box.kind == b"auxC")
    names = (bytes(file[box.start + 4 : box.end]).partition(b"\0")[0] for box in kinds)
    return any(name in ALPHA_TYPES for name in names)


def _replace(data: bytearray, at: int, by: bytes) -> None:
    data[at : at + len(by)] = by
