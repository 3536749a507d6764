"""Where the alpha of an AVIF file is a picture of its own, that and the colours apart.

libavif decodes both at once. It is shown a file that says nothing of the other one.
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
    meta, primary = find(file, b"meta"), find(file, b"meta", b"pitm")
    if not meta or not primary or meta.end - meta.at > META_MAX_BYTES or find(file, b"moov"):
        return None
    id_at, id_bytes = primary.start + 4, 4 if file[primary.start] else 2
    found = _alpha_of(file, number_at(file, id_at, id_bytes))
    if not found:
        return None
    reference, alpha = found
    colour = bytearray(file[meta.at : meta.end])
    _replace(colour, reference.at + 4 - meta.at, NAMELESS)
    other = colour.copy()
    _replace(other, id_at - meta.at, alpha.to_bytes(4, "big")[-id_bytes:])
    return Layers(Patch(meta.at, bytes(colour)), Patch(meta.at, bytes(other)))


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
