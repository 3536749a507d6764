"""Rows made of other rows: those of a part of a picture, and those of one laid on white.

Colours and alpha that are pictures of their own are decoded one after the other, so that the planes
of both never stand in memory at once.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from PIL import Image

from app.images.arrow import FadingRows
from app.images.bands import BAND_ROWS, Decoded, Rows, resize, shrink
from app.images.colour import to_8_bits
from app.images.foreign import give_back
from app.images.kept import KeptRows

KEPT_BYTES = 3
"""A pixel of the colours, put by while alpha is decoded."""

Layer = Callable[[], AbstractContextManager[Decoded]]
"""Decodes it; the rows are valid within the block."""


def lay_on_white(
    colour: Layer,
    alpha: Layer,
    *,
    corner: tuple[int, int],
    size: tuple[int, int],
    premultiplied: bool,
    by: int,
) -> Image.Image:
    """The picture of two layers, its sides divided by a whole number.

    Args:
        colour: Is decoded first.
        alpha: A grey picture, which says how opaque the other is.
        corner: Upper left, of the part that is to be shown.
        size: Of this part.
        premultiplied: Whether the colours are already weighed by alpha.
        by: The whole number.

    Raises:
        ValueError: There is less of it than is to be shown.
    """
    with colour() as rgb:
        whole = rgb.size
        check_shown(whole, corner, size)
        kept = _kept(size, part_of(rgb.rows, whole[0], corner, size))
    give_back()
    with alpha() as rgb:
        opaque = shrink(rgb.size, grey(rgb.rows), 1)
    give_back()
    if opaque.size != whole:
        opaque = resize(opaque, whole)
    fading = part_of(FadingRows(opaque), whole[0], corner, size)
    return shrink(size, on_white(kept, fading, premultiplied=premultiplied), by)


def check_shown(whole: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a picture of which there is less than is to be shown.

    Raises:
        ValueError: It is one.
    """
    if any(at + part > all_ for at, part, all_ in zip(corner, size, whole, strict=True)):
        raise ValueError("it is smaller than announced")


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
    """Those of a picture that is as opaque as the grey one of its size says."""
    mode = "RGBa" if premultiplied else "RGBA"

    def laid(top: int, bottom: int) -> Image.Image:
        channels = (*colour(top, bottom).split(), alpha(top, bottom))
        return to_8_bits(Image.merge(mode, channels), None)

    return laid


def grey(rows: Callable[[int, int], Image.Image]) -> Rows:
    """Those of a grey picture that is had in RGB."""
    return lambda top, bottom: rows(top, bottom).getchannel("R")


def _kept(size: tuple[int, int], rows: Rows) -> KeptRows:
    kept = KeptRows("RGB", size)
    for top in range(0, size[1], BAND_ROWS):
        kept.put(rows(top, min(top + BAND_ROWS, size[1])), top)
    return kept
