"""Planes of YCbCr turned into RGB a few rows at a time, by libavif, whoever decoded them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from app.images.foreign import forget
from app.images.libavif import LibAvif
from app.images.libavif_abi import AvifImage

GREY = 0
FORMATS = {GREY: 4, 1: 3, 2: 2, 3: 1}
"""avifPixelFormat of each chroma as HEVC counts them: grey, 4:2:0, 4:2:2, 4:4:4."""

DIVISORS = {1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""What the sides of the planes of colour are divided by, by chroma."""

YUV420 = FORMATS[1]
"""The one that has fewer rows of colour."""

MARGIN_ROWS = 2
"""Above and below a band: colours are interpolated between rows."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Rows of samples, `stride` bytes apart, of a byte each or, where deeper, of two."""

    size: tuple[int, int]
    depth: int
    address: int
    stride: int


@dataclass(frozen=True, slots=True)
class Colours:
    """What samples mean: the codes of primaries, transfer and matrix (ITU-T H.273 §8)."""

    codes: tuple[int, int, int]
    full_range: bool


AS_JPEG = Colours((2, 2, 2), full_range=True)
"""What is meant where nothing is said."""


class Rgb:
    """The rows of an image, in RGB, or RGBA where it has an alpha plane, of 8 bits."""

    def __init__(self, library: LibAvif, image: AvifImage, view: AvifImage, rows_max: int) -> None:
        self._library, self._image, self._view = library, image, view
        self._mode = "RGBA" if image.alpha_plane else "RGB"
        self.size: tuple[int, int] = (image.width, image.height)
        self._stride = image.width * len(self._mode)
        self._samples = memoryview(bytearray(self._stride * (rows_max + 2 * MARGIN_ROWS + 1)))

    def rows(self, top: int, bottom: int) -> Image.Image:
        """These rows, each time below what came before.

        What lies above is given back to the system: else the planes would stand there beside all
        that is made of them.

        Raises:
            ValueError: They cannot be converted.
        """
        first = max(top - MARGIN_ROWS, 0) // 2 * 2
        last = min(bottom + MARGIN_ROWS, self.size[1])
        self._library.view(self._image, range(first, last), self._view)
        self._library.convert(self._view, self._mode, self._samples)
        self._forget(first)
        samples = self._samples[(top - first) * self._stride :]
        size = (self.size[0], bottom - top)
        return Image.frombytes(self._mode, size, samples, "raw", self._mode, self._stride)

    def _forget(self, rows: int) -> None:
        image = self._image
        colour_rows = rows // 2 if image.format == YUV420 else rows
        planes = (*image.planes, image.alpha_plane)
        strides = (*image.row_bytes, image.alpha_row_bytes)
        for plane, stride, n in zip(
            planes, strides, (rows, *(colour_rows,) * 2, rows), strict=True
        ):
            if plane:
                forget(plane, n * stride)


@contextmanager
def in_rgb(library: LibAvif, image: AvifImage, rows_max: int) -> Iterator[Rgb]:
    """An image's rows, of which at most `rows_max` are asked at a time."""
    with library.images(1) as (view,):
        yield Rgb(library, image, view, rows_max)


def lend(image: AvifImage, planes: Sequence[Plane], chroma: int) -> None:
    """Have libavif read others' planes, once they are seen to be as large as it believes.

    Raises:
        ValueError: They are not.
    """
    first = planes[0]
    for at, plane in enumerate(planes):
        if not plane.address:
            raise ValueError("a plane is missing")
        columns, rows = DIVISORS[chroma] if at else (1, 1)
        size = (-(-first.size[0] // columns), -(-first.size[1] // rows))
        if (plane.size, plane.depth) != (size, first.depth):
            raise ValueError("the planes do not fit together")
        image.planes[at], image.row_bytes[at] = plane.address, plane.stride
        (image.width, image.height), image.depth = first.size, first.depth
    image.format = FORMATS[chroma]
