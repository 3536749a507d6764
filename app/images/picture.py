"""An opened picture: its header is read, its pixels are not yet.

It decodes into an image of 8 bits a sample that is no larger than asked, so that besides the
decoder's own pixels only the small result stands in memory.
"""

import math
from collections.abc import Sequence
from typing import Protocol

from PIL import Image, TiffImagePlugin, _imaging

from app.images.arrow import FadingRows
from app.images.bands import band_bytes, shrink
from app.images.colour import PLAIN_MODES, levels_of, to_8_bits
from app.images.foreign import give_back, map_large_blocks
from app.images.limits import MIN_SIDE
from app.images.reading import open_pieces
from app.images.sniff import Kind
from app.images.structure import ORIENTATION, Structure, read_orientation
from app.images.tiff import buffer_bytes

PILLOW_NAMES = {
    Kind.JPEG: "JPEG",
    Kind.PNG: "PNG",
    Kind.WEBP: "WEBP",
    Kind.GIF: "GIF",
    Kind.BMP: "BMP",
    Kind.TIFF: "TIFF",
    Kind.AVIF: "AVIF",
}

PIXEL_BYTES = 4
"""What Pillow stores of a pixel, but for the modes below."""

STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}

EXTRA_BYTES = {Kind.WEBP: 14, Kind.AVIF: 10}
"""Bytes a pixel that a decoder of Pillow's holds besides: of a WebP two canvases and a frame, of an
AVIF planes and two copies. Measured."""

READ_WHOLE = frozenset((Kind.WEBP, Kind.AVIF))
"""Their decoders in Pillow want the whole file in one piece, which is a copy of it."""

FACTORS = (16, 8, 4, 2, 1)
JPEG_FACTORS = (8, 4, 2, 1)
"""What libjpeg scales by while it decodes."""

NEARLY = 7 / 8
"""A result may be this much smaller than asked when that saves scaling twice: 4032 becomes 2016."""

BLOCK_BYTES = 1 << 28
"""Pillow keeps pixels in blocks. Those of its own choice, 16 MB, the C library takes from memory
used before and fills with zeros, while Pillow holds the interpreter's lock: 25 ms for 12 MP.
Above 32 MB it asks the system, which gives empty pages one by one, and has them back at once."""

_imaging.set_block_size(BLOCK_BYTES)
map_large_blocks()


class Picture(Protocol):
    """What `normalise` needs of an opened picture. Its size is in pixels as stored.

    It is decoded once: a body that can be written may be used up for it.
    """

    size: tuple[int, int]
    orientation: int
    icc: bytes | None

    def decoding_bytes(self, max_side: int) -> int: ...
    def decode(self, max_side: int) -> Image.Image: ...


def factor(size: tuple[int, int], max_side: int, factors: Sequence[int] = FACTORS) -> int:
    """The whole number to divide the sides by, so that the longer one nearly fits `max_side`."""
    if not max_side:
        return 1
    short, long = sorted(size)
    fitting = (n for n in factors if long / n >= max_side * NEARLY and short / n >= MIN_SIDE)
    return next(fitting, 1)


def divided(size: tuple[int, int], by: int) -> tuple[int, int]:
    """Both sides divided, and rounded up."""
    return -(-size[0] // by), -(-size[1] // by)


class PillowPicture:
    """A picture that Pillow opens, by the one decoder that its content names."""

    def __init__(
        self, kind: Kind, parts: Sequence[memoryview], structure: Structure | None
    ) -> None:
        self._kind = kind
        self._parts = parts
        self._coefficients_bytes = structure.coefficients_bytes if structure else 0
        image = self._open()
        self.size = image.size
        self._mode = image.mode
        self._plain = image.mode in PLAIN_MODES and not image.has_transparency_data
        exif = image.info.get("exif")
        self.orientation = structure.orientation if structure else read_orientation(exif)
        self._buffer_bytes = 0
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            self.orientation = image.getexif().get(ORIENTATION, 1)
            self._buffer_bytes = buffer_bytes(image)
        self.icc = structure.icc if structure else image.info.get("icc_profile")

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        size = divided(self.size, self._scale(max_side))
        a_pixel = STORED_BYTES.get(self._mode, PIXEL_BYTES) + EXTRA_BYTES.get(self._kind, 0)
        held = self._coefficients_bytes + self._buffer_bytes + math.prod(size) * a_pixel
        if self._kind in READ_WHOLE:
            held += sum(map(len, self._parts))
        held += band_bytes(size[0])
        by = factor(size, max_side)
        return held if self._is_done(by) else held + math.prod(divided(size, by)) * PIXEL_BYTES

    def decode(self, max_side: int) -> Image.Image:
        """The first frame, scaled down to about `max_side`."""
        image = self._open()
        scale = self._scale(max_side)
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        if self._kind is Kind.TIFF:
            _load_as_stored(image)
        image.load()
        if self._coefficients_bytes:
            give_back()
        by = factor(image.size, max_side)
        if self._is_done(by):
            image.info = {}
            return image
        return shrink(image.size, _PillowRows(image), by)

    def _open(self) -> Image.Image:
        return Image.open(open_pieces(self._parts), formats=[PILLOW_NAMES[self._kind]])

    def _is_done(self, by: int) -> bool:
        """Whether the image as Pillow decodes it needs nothing more."""
        return by == 1 and self._plain

    def _scale(self, max_side: int) -> int:
        """What libjpeg divides the sides by; nobody else does."""
        return factor(self.size, max_side, JPEG_FACTORS) if self._kind is Kind.JPEG else 1


def _load_as_stored(image: Image.Image) -> None:
    """Keep Pillow from turning a TIFF, for which it holds it twice."""
    image.getexif().pop(ORIENTATION, None)
    image.load()
    image._size = image.im.size  # noqa: SLF001  # else it would be that of the turned picture


class _PillowRows:
    def __init__(self, image: Image.Image) -> None:
        self._rows = FadingRows(image)
        self._levels = levels_of(image)

    def __call__(self, top: int, bottom: int) -> Image.Image:
        return to_8_bits(self._rows(top, bottom), self._levels)
