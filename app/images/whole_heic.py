"""A HEIC picture, decoded by pillow_heif, which hands out whole pictures in RGB.

For where libheif or one of its decoders cannot be called.
"""

import math
from typing import cast

import pillow_heif
from PIL import Image

from app.images.bands import band_bytes, shrink
from app.images.colour import to_8_bits
from app.images.foreign import give_back
from app.images.heic import NOTES_BYTES
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.reading import open_pieces
from app.images.structure import SAMPLE_BITS

SAMPLES = {400: 1.0, 420: 1.5, 422: 2.0}
"""Of a pixel, by how its colours are stored; 4:4:4 has 3."""

# Its own four take memory each for a picture of tiles, and more of the machine than a worker.
pillow_heif.options.DECODE_THREADS = 1


class WholeHeicPicture:
    """A picture that pillow_heif opens. It turns pictures upright by itself."""

    orientation = 1

    def __init__(self, body: memoryview) -> None:
        self._body = body
        image = self._open()
        self.size: tuple[int, int] = image.size
        self.icc = cast("bytes | None", image.info.get("icc_profile"))
        self._pixel_bytes = _pixel_bytes(image)

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        libheif wants the file in one piece of its own, which is a copy.
        """
        small = divided(self.size, factor(self.size, max_side))
        held = int(math.prod(self.size) * self._pixel_bytes) + len(self._body)
        return held + math.prod(small) * PIXEL_BYTES + band_bytes(self.size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The primary image, scaled down to about `max_side`."""
        image = self._open()
        image.load()
        # Else the C library keeps libheif's planes, half as much again as the picture.
        give_back()
        return shrink(image.size, _HeifRows(image), factor(image.size, max_side))

    def _open(self) -> pillow_heif.HeifImage:
        opened = pillow_heif.open_heif(open_pieces((self._body,)))
        return opened[opened.primary_index]


class _HeifRows:
    def __init__(self, image: pillow_heif.HeifImage) -> None:
        self._image = image
        self._data = memoryview(image.data)

    def __call__(self, top: int, bottom: int) -> Image.Image:
        image, stride = self._image, self._image.stride
        rows = self._data[top * stride : bottom * stride]
        size = (image.size[0], bottom - top)
        return to_8_bits(Image.frombytes(image.mode, size, rows, "raw", image.mode, stride), None)


def _pixel_bytes(image: pillow_heif.HeifImage) -> float:
    """Of a pixel: libde265's planes, libheif's copy of them, and what that becomes."""
    info = image.info
    samples = SAMPLES.get(cast("int", info.get("chroma")), 3.0)
    deep = cast("int", info["bit_depth"]) > SAMPLE_BITS
    return 2 * (samples + image.has_alpha) * (1 + deep) + 3 + image.has_alpha + NOTES_BYTES
