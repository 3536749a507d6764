"""A HEIC picture, its planes decoded by libheif and turned into RGB by libavif in bands."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from PIL import Image

from app.images.bands import BAND_ROWS, band_bytes, shrink
from app.images.colour import to_8_bits
from app.images.foreign import give_back
from app.images.libavif import AvifImage, LibAvif
from app.images.libheif import ALPHA, CB, CR, Decoded, LibHeif, Plane, Y
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import SAMPLE_BITS
from app.images.turns import orientation_of
from app.images.yuv import Rgb, in_rgb

GREY = 0
FORMATS = {GREY: 4, 1: 3, 2: 2, 3: 1}
"""avifPixelFormat of each heif_chroma: grey, 4:2:0, 4:2:2, 4:4:4."""

SAMPLES = {GREY: 1.0, 1: 1.5, 2: 2.0}
"""Of a pixel, by heif_chroma; 4:4:4 has 3."""

DIVISORS = {1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""What the sides of the planes of colour are divided by, by heif_chroma."""

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
            self.is_planar = primary.is_planar and primary.depth in DEPTHS
            """Whether `decode` takes it."""
            sample_bytes = 2 if primary.depth > SAMPLE_BITS else 1
            self._colour_bytes = SAMPLES.get(primary.chroma, 3.0) * sample_bytes
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
            _in_rows(self._libavif, decoded) as rows,
        ):
            # Else the C library keeps the decoder's planes, as large again.
            give_back()
            rows.show(primary.corner, primary.size)
            return shrink(rows.size, rows, factor(rows.size, max_side))


class _Rows:
    """The rows, laid on white where there is alpha, which is a grey picture of its own."""

    def __init__(self, colour: Rgb, alpha: Rgb | None, mode: str) -> None:
        self._colour, self._alpha, self._mode = colour, alpha, mode
        self._corner, self.size = (0, 0), colour.size

    def show(self, corner: tuple[int, int], size: tuple[int, int]) -> None:
        """Leave out what is not within this part."""
        (left, top), (width, height) = corner, self._colour.size
        self._corner, self.size = corner, (min(size[0], width - left), min(size[1], height - top))

    def __call__(self, top: int, bottom: int) -> Image.Image:
        (left, above), width = self._corner, self.size[0]
        band = self._whole(top + above, bottom + above)
        return band if width == band.width else band.crop((left, 0, left + width, band.height))

    def _whole(self, top: int, bottom: int) -> Image.Image:
        band = self._colour.rows(top, bottom)
        if not self._alpha:
            return band
        alpha = self._alpha.rows(top, bottom).getchannel("R")
        return to_8_bits(Image.merge(self._mode, (*band.split(), alpha)), None)


@contextmanager
def _in_rows(library: LibAvif, decoded: Decoded) -> Iterator[_Rows]:
    mode = "RGBa" if decoded.premultiplied else "RGBA"
    with library.images(2) as (image, grey), ExitStack() as stack:
        image.range, image.colours[:] = decoded.full_range, decoded.colours
        channels = (Y, CB, CR) if decoded.chroma else (Y,)
        lend(image, [decoded.plane(channel) for channel in channels], decoded.chroma)
        colour, alpha = stack.enter_context(in_rgb(library, image, BAND_ROWS)), None
        if plane := decoded.plane(ALPHA):
            grey.range = True
            lend(grey, [plane], GREY)
            alpha = stack.enter_context(in_rgb(library, grey, BAND_ROWS))
        yield _Rows(colour, alpha, mode)


def lend(image: AvifImage, planes: Sequence[Plane | None], chroma: int) -> None:
    """Have libavif read planes of libheif's, once they are seen to be as large as it believes.

    Raises:
        ValueError: They are not.
    """
    first = planes[0]
    for at, plane in enumerate(planes):
        if not first or not plane:
            raise ValueError("libheif left a plane out")
        columns, rows = DIVISORS[chroma] if at else (1, 1)
        size = (-(-first.size[0] // columns), -(-first.size[1] // rows))
        if (plane.size, plane.depth) != (size, first.depth):
            raise ValueError("libheif left planes that do not fit together")
        image.planes[at], image.row_bytes[at] = plane.address, plane.stride
        (image.width, image.height), image.depth = first.size, first.depth
    image.format = FORMATS[chroma]
