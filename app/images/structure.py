"""A picture seen from outside: its parts, without decoding a pixel.

What is whole and small enough can go upstream as it is, less the parts that tell of the sender;
and what must be decoded reaches the decoder without them.
"""

from dataclasses import dataclass
from typing import Literal

ORIENTATION, SHORT = 0x0112, 3
"""The EXIF tag and its type (Exif 2.32 §4.6.4): 1 is upright, 2 to 8 the other ways to hold a
camera."""

ORIENTATIONS = range(1, 9)

SAMPLE_BITS = 8
"""Of each channel; more is for decoders that know what to do with it."""

PARTS_MAX = 65_536
"""Most segments or chunks of one file; more of them only cost time."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What the walk along a file found.

    `parts` are the pieces worth keeping, in order: no metadata, nothing behind the picture's end.
    `sound` says that the file is whole and that every decoder reads it alike: 8 bits a sample,
    greyscale, RGB or palette. `coefficients_bytes` is what a decoder holds besides the pixels.
    """

    size: tuple[int, int]
    parts: tuple[memoryview, ...]
    sound: bool
    orientation: int = 1
    icc: bytes | None = None
    coefficients_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        return sum(len(part) for part in self.parts)


class Parts:
    """Collects the pieces that are kept; neighbours become one."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._ranges: list[tuple[int, int]] = []

    def keep(self, start: int, end: int) -> None:
        if self._ranges and self._ranges[-1][1] == start:
            start = self._ranges.pop()[0]
        self._ranges.append((start, end))

    def views(self) -> tuple[memoryview, ...]:
        return tuple(self._data[start:end] for start, end in self._ranges)


def read_orientation(exif: bytes | None) -> int:
    """The orientation, 1 to 8, that an EXIF block names; 1 where it names none or is damaged."""
    tiff = (exif or b"").removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if tiff[:4] == b"II*\0" else "big"
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 1

    def number(at: int, n_bytes: int) -> int:
        return int.from_bytes(tiff[at : at + n_bytes], order)

    first = number(4, 4) + 2
    for at in range(first, min(first + 12 * number(first - 2, 2), len(tiff)), 12):
        if number(at, 2) == ORIENTATION and number(at + 2, 2) == SHORT:
            found = number(at + 8, 2)
            return found if found in ORIENTATIONS else 1
    return 1
