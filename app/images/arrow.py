"""Where Pillow keeps the pixels of an image, as the Arrow C data interface tells."""

import ctypes
from typing import Any

from PIL import Image

from app.images.bands import BAND_ROWS
from app.images.foreign import forget

SAMPLE_BYTES = {"I;16": 2, "I": 4, "F": 4}
"""Of the modes that have other samples than bytes."""


class _Array(ctypes.Structure):
    """`ArrowArray`, up to what is read of it."""

    length: int
    n_children: int


_Array._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "nulls", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
]

_inside: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class FadingRows:
    """The rows of an image that nobody else has, read from top to bottom, each once.

    What lies above is given back to the system: else the image would stand there beside all that
    is made of it.
    """

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._address, self._row_bytes = _pixels(image)

    def __call__(self, top: int, bottom: int) -> Image.Image:
        forget(self._address, top * self._row_bytes)
        return self._image.crop((0, top, self._image.width, bottom))


def split(image: Image.Image) -> list[Image.Image]:
    """Its planes, in greyscale. The image is used up."""
    size, rows = image.size, FadingRows(image)
    planes = [Image.new("L", size, None) for _ in image.getbands()]
    for top in range(0, size[1], BAND_ROWS):
        band = rows(top, min(top + BAND_ROWS, size[1]))
        for plane, part in zip(planes, band.split(), strict=True):
            plane.paste(part, (0, top))
    image.close()
    return planes


def _pixels(image: Image.Image) -> tuple[int, int]:
    """Their address, and bytes of a row; no bytes where that is not to be known."""
    try:
        _, capsule = image.__arrow_c_array__()
    except ValueError:  # They are not in one piece
        return 0, 0
    pixels = _Array.from_address(_inside(capsule, b"arrow_array"))
    samples = pixels.children[0].contents if pixels.n_children else pixels
    row_bytes = samples.length // image.height * SAMPLE_BYTES.get(image.mode, 1)
    return samples.buffers[1] or 0, row_bytes
