"""Pictures worked on band by band, so that besides a large one only its small result is held."""

from typing import Protocol

from PIL import Image

BAND_ROWS = 64
"""A multiple of every factor that pictures are divided by; 8,000 pixels wide it is 2 MB."""

BAND_BYTES = 24
"""A pixel of the band at work: as cut out, as converted, as laid on white, and divided."""


class Rows(Protocol):
    """The decoded rows of a picture, a band at a time: greyscale, RGB or CMYK of 8 bits."""

    def __call__(self, top: int, bottom: int) -> Image.Image: ...


class Decoded(Protocol):
    """A picture whose rows are to be had, each time below what came before, and its size."""

    size: tuple[int, int]

    def rows(self, top: int, bottom: int) -> Image.Image: ...


def band_bytes(width: int) -> int:
    """Bytes held for the band at work."""
    return BAND_ROWS * width * BAND_BYTES


def shrink(size: tuple[int, int], rows: Rows, by: int) -> Image.Image:
    """All rows, the sides divided by a whole number."""
    width, height = size
    small = Image.new(rows(0, 1).mode, (-(-width // by), -(-height // by)), None)
    for top in range(0, height, BAND_ROWS):
        band = rows(top, min(top + BAND_ROWS, height))
        small.paste(band.reduce(by), (0, top // by))
    return small


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image in another size; at once it would take a third one, as wide as the result."""
    width, height = size
    resized = Image.new(image.mode, size, None)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        box = (0, top * image.height / height, image.width, bottom * image.height / height)
        band = image.resize((width, bottom - top), Image.Resampling.LANCZOS, box)
        resized.paste(band, (0, top))
    return resized
