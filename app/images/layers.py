"""Rows made of other rows: those of a part of a picture, and those of one laid on white."""

from collections.abc import Callable

from PIL import Image

from app.images.bands import Rows
from app.images.colour import to_8_bits


def part_of(rows: Rows, width: int, corner: tuple[int, int], size: tuple[int, int]) -> Rows:
    """Those of the part that is as large as `size`, of a picture `width` pixels wide.

    `corner` is that of the part, at the upper left.
    """
    left, above = corner

    def part(top: int, bottom: int) -> Image.Image:
        band = rows(top + above, bottom + above)
        return band if size[0] == width else band.crop((left, 0, left + size[0], band.height))

    return part


def on_white(colour: Rows, alpha: Rows, *, premultiplied: bool) -> Rows:
    """Those of a picture that is as transparent as the grey one of its size says."""
    mode = "RGBa" if premultiplied else "RGBA"

    def laid(top: int, bottom: int) -> Image.Image:
        channels = (*colour(top, bottom).split(), alpha(top, bottom))
        return to_8_bits(Image.merge(mode, channels), None)

    return laid


def grey(rows: Callable[[int, int], Image.Image]) -> Rows:
    """Those of a grey picture that is had in RGB."""
    return lambda top, bottom: rows(top, bottom).getchannel("R")
