"""A JPEG of several scans that stores much colour, decoded one component at a time.

libjpeg holds all coefficients until the last scan, six bytes a pixel of 4:4:4 and eight of CMYK.
Beside Pillow's four they would be too many; those of one component are two.
"""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops

from app.images.arrow import FadingRows
from app.images.bands import Rows, band_bytes, shrink
from app.images.foreign import give_back
from app.images.jpeg import ADOBE, APP0, APP14, JFIF
from app.images.picture import PIXEL_BYTES, PillowPicture, divided
from app.images.reading import open_pieces
from app.images.scans import Component, Scans
from app.images.sniff import Kind
from app.images.structure import Structure

COEFFICIENTS_BYTES = 3.5
"""A pixel, from which on it is worth it: 4:2:0 has 3."""

TEXT_BYTES = 8
"""Of a scan that is written anew: a letter for each bit."""

SAMPLE_COEFFICIENT_BYTES = 2
WRITING_BYTES = 0.5
"""A pixel, of the means while they are written anew. Measured."""


def stores_much(structure: Structure) -> bool:
    """Whether Pillow's pixels would not fit beside the coefficients."""
    return structure.coefficients_bytes > COEFFICIENTS_BYTES * math.prod(structure.size)


class ProgressivePicture(PillowPicture):
    """Such a picture, decoded as any other where its scans cannot be had apart."""

    def __init__(self, kind: Kind, parts: Sequence[memoryview], structure: Structure) -> None:
        super().__init__(kind, parts, structure)
        self._scans = Scans(parts)

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        components, by = self._scans.components, self._scale(max_side)
        if not components:
            return super().decoding_bytes(max_side)
        samples = [math.prod(self._scans.size_of(one)) for one in components]
        planes = sum(map(math.prod, (self._plane_size(one, by) for one in components)))
        size = divided(self.size, by)
        result = math.prod(size) * PIXEL_BYTES
        writing = int(math.prod(self.size) * WRITING_BYTES) + TEXT_BYTES * self._scans.longest_bytes
        working = max(max(samples) * SAMPLE_COEFFICIENT_BYTES, result)
        return planes + working + writing + band_bytes(size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The picture, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        components, by = self._scans.components, self._scale(max_side)
        if not components:
            return super().decode(max_side)
        size, planes = divided(self.size, by), list[Image.Image]()
        files = self._scans.files()
        give_back()
        for one in components:
            planes.append(_decoded(files.pop(0), self._plane_size(one, by)))
            give_back()
        rows = [_stretched(plane, size) for plane in planes]
        merge = _MERGES[self._mode, _is_ycc(self._scans)]
        return shrink(size, lambda top, bottom: merge([one(top, bottom) for one in rows]), 1)

    def _plane_size(self, one: Component, by: int) -> tuple[int, int]:
        """Of a component, which is not divided as often where it is smaller already."""
        return divided(self._scans.size_of(one), max(1, by // self._scans.reduction_of(one)))


def _decoded(file: Sequence[memoryview], size: tuple[int, int]) -> Image.Image:
    plane = Image.open(open_pieces(file), formats=["JPEG"])
    by = round(plane.width / size[0])
    plane.draft("L", (plane.width // by, plane.height // by))
    plane.load()
    return plane


def _stretched(plane: Image.Image, size: tuple[int, int]) -> Rows:
    """The rows of a plane, as many and as wide as those of a picture of this size."""
    if plane.size == size:
        return FadingRows(plane)
    # What it has more at its ends stands for less than whole pixels.
    across, down = (round(all_ / part) for all_, part in zip(size, plane.size, strict=True))

    def rows(top: int, bottom: int) -> Image.Image:
        box = (0, top / down, size[0] / across, bottom / down)
        # Encoding averages four pixels each, and so finds the colours as they were.
        return plane.resize((size[0], bottom - top), Image.Resampling.BOX, box)

    return rows


def _is_ycc(scans: Scans) -> bool:
    """Whether the colours are stored as YCbCr: as libjpeg guesses (jdapimin.c)."""
    numbers = bytes(one.number for one in scans.components)
    markers = {one.marker: one.body for one in reversed(scans.segments)}
    adobe = markers.get(APP14, b"")
    named = bytes(adobe[:5]) == ADOBE
    if len(numbers) > len("RGB"):
        return named and adobe[-1] != 0
    if bytes(markers.get(APP0, b"")[:5]) == JFIF:
        return True
    return adobe[-1] != 0 if named else numbers != b"RGB"


def _rgb(planes: Sequence[Image.Image]) -> Image.Image:
    return Image.merge("RGB", planes[:3])


def _rgb_of_ycc(planes: Sequence[Image.Image]) -> Image.Image:
    return Image.merge("YCbCr", planes[:3]).convert("RGB")


def _cmyk(planes: Sequence[Image.Image]) -> Image.Image:
    """Inks are stored as what they leave white, as Pillow believes of all CMYK."""
    return Image.merge("CMYK", [ImageChops.invert(plane) for plane in planes])


def _cmyk_of_ycc(planes: Sequence[Image.Image]) -> Image.Image:
    inks = _rgb_of_ycc(planes).split()
    return Image.merge("CMYK", (*inks, ImageChops.invert(planes[3])))


_MERGES: dict[tuple[str, bool], Callable[[Sequence[Image.Image]], Image.Image]] = {
    ("RGB", False): _rgb,
    ("RGB", True): _rgb_of_ycc,
    ("CMYK", False): _cmyk,
    ("CMYK", True): _cmyk_of_ycc,
}
