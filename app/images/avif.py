"""An AVIF picture, decoded by libavif.

Pillow's decoder hands out frames whole, and holds three copies of them on the way.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from PIL import Image

from app.images.alpha_item import Patch, find_layers
from app.images.bands import BAND_ROWS, band_bytes, shrink
from app.images.colour import to_8_bits
from app.images.layers import KEPT_BYTES, lay_on_white
from app.images.libavif import LibAvif, Parsed
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import SAMPLE_BITS
from app.images.turns import Step, orientation_of
from app.images.yuv import FORMATS, GREY, Rgb, in_rgb

SAMPLES = {1: 3.0, 2: 2.0, 3: 1.5, 4: 1.0}
"""Of a pixel, by avifPixelFormat: 4:4:4, 4:2:2, 4:2:0, grey."""

NOTES_BYTES = 1
"""A pixel, of what dav1d notes of its blocks. Measured."""

TILE_SIDE = 1024
"""A picture put together of tiles may be this much smaller than they are."""

ROTATED, MIRRORED = 4, 8
"""Which transformations a picture has (avifTransformFlag)."""


class AvifPicture:
    """A picture that libavif opens."""

    def __init__(self, body: memoryview, library: LibAvif) -> None:
        self._body = body
        self._library = library
        with library.parsed(body) as parsed:
            image = parsed.image
            self.size: tuple[int, int] = (image.width, image.height)
            self.orientation = _orientation(parsed)
            self.icc = parsed.icc
            sample_bytes = 2 if image.depth > SAMPLE_BITS else 1
            self._colour_bytes = SAMPLES.get(image.format, 3.0) * sample_bytes
            self._alpha_bytes = sample_bytes * parsed.has_alpha
            self._premultiplied = bool(image.alpha_premultiplied)
            depth: int = image.depth
        self._layers = find_layers(body) if self._alpha_bytes else None
        if self._layers and not self._is_grey(self._layers.alpha, depth):
            self._layers = None

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        The planes count twice: grain is laid on a copy, and so are tiles put together.
        """
        a_pixel = 2 * (self._colour_bytes + self._alpha_bytes)
        if self._layers:
            a_pixel = max(2 * self._colour_bytes, KEPT_BYTES + 2 * self._alpha_bytes)
        small = math.prod(divided(self.size, factor(self.size, max_side)))
        held = int(math.prod(self.size) * (a_pixel + NOTES_BYTES))
        return held + small * PIXEL_BYTES + band_bytes(self.size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The first frame, or the primary item, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        by = factor(self.size, max_side)
        if self._layers:
            return lay_on_white(
                partial(self._in_rgb, self._layers.colour),
                partial(self._in_rgb, self._layers.alpha),
                corner=(0, 0),
                size=self.size,
                premultiplied=self._premultiplied,
                by=by,
            )
        with self._in_rgb() as rgb:
            return shrink(rgb.size, _Rows(rgb), by)

    def _is_grey(self, meta: Patch, depth: int) -> bool:
        """Whether alpha is a grey picture as large and as deep as the colours are."""
        with self._library.parsed(self._body, meta=meta) as parsed:
            image = parsed.image
            found = ((image.width, image.height), image.format, image.depth)
            return found == (self.size, FORMATS[GREY], depth)

    @contextmanager
    def _in_rgb(self, meta: Patch | None = None) -> Iterator[Rgb]:
        limit = math.prod(side + TILE_SIDE for side in self.size)
        with (
            self._library.parsed(self._body, meta=meta, size_limit=limit) as parsed,
            in_rgb(self._library, parsed.decode(), BAND_ROWS) as rgb,
        ):
            yield rgb


class _Rows:
    def __init__(self, rgb: Rgb) -> None:
        self._rgb = rgb

    def __call__(self, top: int, bottom: int) -> Image.Image:
        return to_8_bits(self._rgb.rows(top, bottom), None)


def _orientation(parsed: Parsed) -> int:
    image = parsed.image
    steps: list[Step] = []
    if image.transforms & ROTATED:
        steps.append(("irot", image.angle))
    if image.transforms & MIRRORED:
        steps.append(("imir", image.axis))
    return orientation_of(steps)
