"""An opened picture: its header is read, its pixels are not yet.

It decodes into an image of 8 bits a sample that is no larger than asked, band by band, so that
besides the decoder's own pixels only the small result stands in memory.
"""

from collections.abc import Sequence
from typing import Protocol, cast

import pillow_heif
from PIL import Image

from app.images.colour import PLAIN_MODES, levels_of, to_8_bits
from app.images.limits import MIN_SIDE
from app.images.reading import open_pieces
from app.images.sniff import Kind
from app.images.structure import SAMPLE_BITS, Structure, read_orientation

PILLOW_NAMES = {
    Kind.JPEG: "JPEG",
    Kind.PNG: "PNG",
    Kind.WEBP: "WEBP",
    Kind.GIF: "GIF",
    Kind.BMP: "BMP",
    Kind.TIFF: "TIFF",
    Kind.AVIF: "AVIF",
}

STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes that Pillow stores of a pixel; every other mode has 4."""

EXTRA_BYTES = {Kind.WEBP: 12, Kind.AVIF: 9, Kind.TIFF: 4}
"""Bytes a pixel that a decoder holds besides: libwebp two canvases and a frame, libavif planes of
up to 10 bits and a frame, libtiff the strips, or the picture before it is turned. Measured."""

READ_WHOLE = frozenset((Kind.WEBP, Kind.AVIF, Kind.TIFF, Kind.HEIC))
"""Their decoders want the whole file in one piece, which is a copy of it."""

HEIC_BYTES = 4.5
"""Of libheif's planes and samples, which are read where they are; alpha takes as much again, and
so do more than 8 bits."""

WORKING_BYTES = 10
"""Bytes a pixel of the result: as scaled, as converted or turned, and as encoded. Measured."""

BAND_ROWS = 256
"""A multiple of every factor below; 8,000 pixels wide it is 8 MB."""

FACTORS = (16, 8, 4, 2, 1)
JPEG_FACTORS = (8, 4, 2, 1)
"""What libjpeg scales by while it decodes."""

NEARLY = 7 / 8
"""A result may be this much smaller than asked when that saves scaling twice: 4032 becomes 2016."""


class Picture(Protocol):
    """What `normalise` needs of an opened picture. Its size is in pixels as stored."""

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


class PillowPicture:
    """A picture that Pillow opens, by the one decoder that its content names."""

    def __init__(
        self, kind: Kind, parts: Sequence[memoryview], structure: Structure | None
    ) -> None:
        self._kind = kind
        self._image = Image.open(open_pieces(parts), formats=[PILLOW_NAMES[kind]])
        self._coefficients_bytes = structure.coefficients_bytes if structure else 0
        self._copied_bytes = sum(map(len, parts)) if kind in READ_WHOLE else 0
        self.size = self._image.size
        # Pillow turns a TIFF by itself.
        exif = None if kind is Kind.TIFF else self._image.info.get("exif")
        self.orientation = structure.orientation if structure else read_orientation(exif)
        self.icc = structure.icc if structure else self._image.info.get("icc_profile")

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        pixels = self.size[0] * self.size[1]
        small = pixels // factor(self.size, max_side) ** 2
        if self._kind is Kind.JPEG:
            pixels //= factor(self.size, max_side, JPEG_FACTORS) ** 2
        a_pixel = STORED_BYTES.get(self._image.mode, 4) + EXTRA_BYTES.get(self._kind, 0)
        held = self._coefficients_bytes + self._copied_bytes
        return held + pixels * a_pixel + small * WORKING_BYTES

    def decode(self, max_side: int) -> Image.Image:
        """The first frame, scaled down to about `max_side`."""
        image = self._image
        if self._kind is Kind.JPEG:
            scale = factor(image.size, max_side, JPEG_FACTORS)
            image.draft(None, (image.width // scale, image.height // scale))
        image.load()
        if self._is_done(max_side):
            image.info = {}
            return image
        return shrink(image.size, _PillowRows(image), max_side)

    def _is_done(self, max_side: int) -> bool:
        image = self._image
        plain = image.mode in PLAIN_MODES and not image.has_transparency_data
        return plain and factor(image.size, max_side) == 1


class HeicPicture:
    """A picture that libheif opens. It turns pictures upright by itself."""

    orientation = 1

    def __init__(self, parts: Sequence[memoryview]) -> None:
        opened = pillow_heif.open_heif(open_pieces(parts))
        self._image = opened[opened.primary_index]
        self._file_bytes = sum(map(len, parts))
        self.size: tuple[int, int] = self._image.size
        self.icc = cast("bytes | None", self._image.info.get("icc_profile"))

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        pixels = self.size[0] * self.size[1]
        small = pixels // factor(self.size, max_side) ** 2
        deep = cast("int", self._image.info["bit_depth"]) > SAMPLE_BITS
        double = self._image.has_alpha + deep
        return int(pixels * HEIC_BYTES) * (1 + double) + small * WORKING_BYTES + self._file_bytes

    def decode(self, max_side: int) -> Image.Image:
        """The primary image, scaled down to about `max_side`."""
        image = self._image
        image.load()
        return shrink(image.size, _HeifRows(image), max_side)


class Rows(Protocol):
    """The decoded rows of a picture, a band at a time, at 8 bits."""

    def __call__(self, top: int, bottom: int) -> Image.Image: ...


class _PillowRows:
    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._levels = levels_of(image)

    def __call__(self, top: int, bottom: int) -> Image.Image:
        band = self._image.crop((0, top, self._image.width, bottom))
        return to_8_bits(band, self._levels)


class _HeifRows:
    def __init__(self, image: pillow_heif.HeifImage) -> None:
        self._image = image
        self._data = memoryview(image.data)

    def __call__(self, top: int, bottom: int) -> Image.Image:
        image, stride = self._image, self._image.stride
        size = (image.size[0], bottom - top)
        rows = bytes(self._data[top * stride : bottom * stride])
        band = Image.frombytes(image.mode, size, rows, "raw", image.mode, stride)
        return to_8_bits(band, None)


def shrink(size: tuple[int, int], rows: Rows, max_side: int) -> Image.Image:
    """All rows, their sides divided by the factor that brings them near `max_side`."""
    width, height = size
    by = factor(size, max_side)
    small = Image.new(rows(0, 1).mode, (-(-width // by), -(-height // by)))
    for top in range(0, height, BAND_ROWS):
        band = rows(top, min(top + BAND_ROWS, height))
        small.paste(band.reduce(by), (0, top // by))
    return small
