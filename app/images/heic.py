"""A HEIC picture, its planes decoded by libheif and turned into RGB by libavif in bands."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image

from app.images.bands import BAND_ROWS, Rows, band_bytes, shrink
from app.images.foreign import give_back
from app.images.layers import grey, on_white, part_of, shown
from app.images.libavif import LibAvif
from app.images.libheif import LibHeif
from app.images.libheif_decoded import ALPHA, CB, CR, Decoded, Y
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import SAMPLE_BITS
from app.images.turns import orientation_of
from app.images.yuv import GREY, in_rgb, lend

SAMPLES = {GREY: 1.0, 1: 1.5, 2: 2.0}
"""Of a pixel, by heif_chroma; 4:4:4 has 3."""

DEPTHS = (8, 10, 12)
"""What libavif takes."""

ALPHA_BYTES = 2
"""A pixel, at most: alpha may be deeper than the colours are."""

NOTES_BYTES = 1
"""A pixel, of what libde265 notes of its blocks. Measured."""

TILE_SIDE = 1024
"""A picture put together of tiles may be this much smaller than they are."""


class HeicPicture:
    """A picture that libheif opens, whose planes are YCbCr or grey."""

    def __init__(self, body: memoryview, libheif: LibHeif, libavif: LibAvif) -> None:
        self._body = body
        self._libheif, self._libavif = libheif, libavif
        with libheif.opened(body) as primary:
            self.size: tuple[int, int] = primary.size
            self.orientation = orientation_of(primary.steps)
            self.icc = primary.icc
            self.is_planar = primary.is_planar and primary.crops_first and primary.depth in DEPTHS
            """Whether `decode` takes it."""
            self._sample_bytes = 2 if primary.depth > SAMPLE_BITS else 1
            self._colour_bytes = SAMPLES.get(primary.chroma, 3.0) * self._sample_bytes
            self._alpha_bytes = ALPHA_BYTES * primary.has_alpha
            self._stored = primary.stored

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        Planes count twice, since libheif copies them from the decoder; alpha is decoded once the
        colours are. The compressed samples are copied twice.
        """
        pixels = math.prod(self._stored)
        colour, alpha = self._colour_bytes, self._alpha_bytes
        decoding = int(pixels * (max(2 * colour, colour + 2 * alpha) + NOTES_BYTES))
        small = math.prod(divided(self.size, factor(self.size, max_side)))
        shrinking = int(pixels * (colour + alpha)) + small * PIXEL_BYTES
        return max(decoding, shrinking) + 2 * len(self._body) + 2 * band_bytes(self._stored[0])

    def decode(self, max_side: int) -> Image.Image:
        """The primary image, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        limit = math.prod(side + TILE_SIDE for side in self._stored)
        with (
            self._libheif.opened(self._body) as primary,
            primary.decoded(limit) as decoded,
            _in_rows(self._libavif, decoded) as (rows, whole),
        ):
            # Else the C library keeps the decoder's planes, as large again.
            give_back()
            size = shown(whole, primary.corner, primary.size)
            part = part_of(rows, whole[0], primary.corner, size)
            return shrink(size, part, factor(size, max_side))


@contextmanager
def _in_rows(library: LibAvif, decoded: Decoded) -> Iterator[tuple[Rows, tuple[int, int]]]:
    """The rows, laid on white where there is alpha, which is a grey picture of its own."""
    with library.images(2) as (image, transparency), ExitStack() as stack:
        image.range, image.colours[:] = decoded.colours.full_range, decoded.colours.codes
        channels = (Y, CB, CR) if decoded.chroma else (Y,)
        lend(image, [decoded.plane(channel) for channel in channels], decoded.chroma)
        colour = stack.enter_context(in_rgb(library, image, BAND_ROWS))
        rows: Rows = colour.rows
        if plane := decoded.plane(ALPHA):
            transparency.range = True
            lend(transparency, [plane], GREY)
            alpha = grey(stack.enter_context(in_rgb(library, transparency, BAND_ROWS)).rows)
            rows = on_white(rows, alpha, premultiplied=decoded.premultiplied)
        yield rows, colour.size
