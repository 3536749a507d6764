"""A progressive JPEG that is not scaled and stores much colour, read in two passes.

libjpeg holds all coefficients until the last scan, six bytes a pixel of 4:4:4. Pillow's four beside
them would be too many: so the colours are read at half the size, as most JPEGs have them anyway and
as the one has that goes upstream; then the brightness, at one byte.
"""

import math
from collections.abc import Sequence

from PIL import Image

from app.images.bands import band_bytes, shrink
from app.images.foreign import give_back
from app.images.picture import PIXEL_BYTES, PillowPicture
from app.images.structure import Structure

COEFFICIENTS_BYTES = 3.5
"""A pixel, from which on it is worth it: 4:2:0 has 3."""

PASS_BYTES = 1.5
"""A pixel beside the coefficients: the brightness, and a quarter of either colour."""


def stores_much(structure: Structure) -> bool:
    """Whether Pillow's pixels would not fit beside the coefficients."""
    return structure.coefficients_bytes > COEFFICIENTS_BYTES * math.prod(structure.size)


class ProgressivePicture(PillowPicture):
    """Such a picture, decoded as any other where libjpeg scales it or it is CMYK."""

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        if not self._in_two_passes(max_side):
            return super().decoding_bytes(max_side)
        pixels = math.prod(self.size)
        beside = max(self._coefficients_bytes, pixels * PIXEL_BYTES)
        return beside + int(pixels * PASS_BYTES) + band_bytes(self.size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The picture, scaled down to about `max_side`."""
        if not self._in_two_passes(max_side):
            return super().decode(max_side)
        colour = self._open()
        colour.draft(None, (colour.width // 2, colour.height // 2))
        colour.load()
        give_back()
        colours = colour.convert("YCbCr").split()[1:]
        del colour
        brightness = self._open()
        brightness.draft("L", brightness.size)
        brightness.load()
        give_back()
        return shrink(self.size, _Merged(brightness, colours), 1)

    def _in_two_passes(self, max_side: int) -> bool:
        return self._mode == "RGB" and self._scale(max_side) == 1


class _Merged:
    def __init__(self, brightness: Image.Image, colours: Sequence[Image.Image]) -> None:
        self._brightness, self._colours = brightness, colours

    def __call__(self, top: int, bottom: int) -> Image.Image:
        y = self._brightness.crop((0, top, self._brightness.width, bottom))
        box = (0, top / 2, y.width / 2, bottom / 2)
        # Encoding averages four pixels each, and so finds the colours as they were.
        whole = [c.resize(y.size, Image.Resampling.BOX, box) for c in self._colours]
        return Image.merge("YCbCr", (y, *whole)).convert("RGB")
