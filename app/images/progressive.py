"""A JPEG of several scans that stores much colour, decoded one component at a time.

libjpeg holds all coefficients until the last scan, six bytes a pixel of 4:4:4 and eight of CMYK.
Beside Pillow's four they would be too many; those of one component are two.
"""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops

from app.errors import ImageTypeUnsupported
from app.images.arrow import FadingRows
from app.images.bands import Rows, band_bytes, shrink
from app.images.foreign import give_back
from app.images.jpeg import ADOBE, APP0, APP14, JFIF
from app.images.libtiff import LibTiff
from app.images.picture import JPEG_FACTORS, PIXEL_BYTES, PillowPicture, divided
from app.images.reading import open_pieces
from app.images.scans import Component, Scans
from app.images.sniff import Kind
from app.images.structure import Structure
from app.images.together import decode_together

COEFFICIENTS_BYTES = 3.5
"""A pixel, from which on it is worth it: 4:2:0 has 3."""

SMALL_PIXELS = 1 << 20
"""Of these, what is held in any case takes more than the coefficients."""

ROOM_BYTES = 7.5
"""A pixel, of coefficients and pixels together, or of samples and the copy of a scan."""

SAMPLE_COEFFICIENT_BYTES = 2
WRITING_BYTES = 0.5
"""A pixel, of the means while they are written anew. Measured."""


def stores_much(structure: Structure) -> bool:
    """Whether Pillow's pixels would not fit beside the coefficients."""
    return structure.coefficients_bytes > COEFFICIENTS_BYTES * math.prod(structure.size)


class ProgressivePicture(PillowPicture):
    """Such a picture, decoded as any other where its scans cannot be had apart."""

    def __init__(
        self,
        kind: Kind,
        parts: Sequence[memoryview],
        structure: Structure,
        library: LibTiff | None,
    ) -> None:
        """Look at its scans.

        Raises:
            ImageTypeUnsupported: There is no room for all of its coefficients, and no other way.
        """
        super().__init__(kind, parts, structure)
        self._scans, self._library = Scans(parts), library
        self._is_apart = bool(self._scans.components) and self._has_way()
        if not any(map(self._fits, JPEG_FACTORS)):
            raise ImageTypeUnsupported(
                "This JPEG is stored in a way that takes too much memory to decode; "
                "send it as a baseline JPEG."
            )

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        components, by = self._scans.components, self._scale(max_side)
        if not self._is_apart:
            return super().decoding_bytes(max_side)
        samples = [math.prod(self._scans.size_of(one)) for one in components]
        planes = sum(map(math.prod, (self._plane_size(one, by) for one in components)))
        size = divided(self.size, by)
        result = math.prod(size) * PIXEL_BYTES
        writing = int(math.prod(self.size) * WRITING_BYTES) + self._scans.writing_bytes
        working = max(max(samples) * SAMPLE_COEFFICIENT_BYTES, result)
        return planes + working + writing + band_bytes(size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The picture, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        components, by = self._scans.components, self._scale(max_side)
        if not self._is_apart:
            return super().decode(max_side)
        size, planes = divided(self.size, by), dict[int, Image.Image]()
        files = self._scans.files()
        give_back()
        while files:
            chosen, file = files.pop(0)
            planes |= zip(chosen, self._planes(file, chosen, by), strict=True)
            give_back()
        rows = [_stretched(planes.pop(at), size) for at in range(len(components))]
        merge = _MERGES[self._mode, _is_ycc(self._scans)]
        return shrink(size, lambda top, bottom: merge([one(top, bottom) for one in rows]), 1)

    def _scale(self, max_side: int) -> int:
        """Smaller than asked where that is the only way."""
        by = super()._scale(max_side)
        return next((n for n in reversed(JPEG_FACTORS) if n >= by and self._fits(n)), by)

    def _has_way(self) -> bool:
        """Whether those that stand together can be read, and there is room for a copy of them."""
        if not self._scans.has_several:
            return True
        samples = sum(math.prod(self._scans.size_of(one)) for one in self._scans.components)
        copied = samples + self._scans.writing_bytes
        return self._library is not None and copied <= ROOM_BYTES * math.prod(self.size)

    def _fits(self, by: int) -> bool:
        """Whether there is room for all coefficients and the pixels, if they must be held."""
        pixels = math.prod(self.size)
        if self._is_apart or pixels <= SMALL_PIXELS:
            return True
        held = self._coefficients_bytes + math.prod(divided(self.size, by)) * PIXEL_BYTES
        return held <= ROOM_BYTES * pixels

    def _planes(
        self, file: Sequence[memoryview], chosen: Sequence[int], by: int
    ) -> list[Image.Image]:
        """Of the components that are in a file, which are as large as one another."""
        one = self._scans.components[chosen[0]]
        size = self._plane_size(one, by)
        if len(chosen) == 1 or not self._library:
            return [_decoded(file, size)]
        stored = self._scans.size_of(one)
        by = max(1, by // self._scans.reduction_of(one))
        return decode_together(self._library, file, stored, len(chosen), by)

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
