"""A HEIC picture that is one coded picture, not put together of others: as cameras write HIF files.

libde265 decodes it at first hand, the colours first and then alpha, so that the planes stand in
memory once, and those of alpha not beside those of the colours.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from PIL import Image

from app.images.bands import BAND_ROWS, band_bytes, shrink
from app.images.foreign import give_back
from app.images.heic import DEPTHS, NOTES_BYTES, HeicPicture
from app.images.hevc import find_config, read_format, units
from app.images.layers import KEPT_BYTES, check_shown, lay_on_white, part_of
from app.images.libavif import LibAvif
from app.images.libde265 import LibDe265, Picture
from app.images.libheif import LibHeif
from app.images.libheif_item import Item
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.yuv import AS_JPEG, GREY, Colours, Rgb, in_rgb, lend

CODED = b"hvc1"
BLOCK_SIDE = 64
"""Pixels that a coded picture may be larger than shown: it is made of whole blocks."""

ALPHA_CHROMAS = (0, 1)
ALPHA_PLANES_BYTES = 3
"""A pixel of alpha, at most: its planes of colour are decoded, too, and of more than 8 bits."""

DEEP_444_BYTES = 6
"""A pixel of colours in more than 8 bits, none of them halved. Beside these there is no room for a
copy of a plane."""


class CodedHeicPicture(HeicPicture):
    """Such a picture. `is_coded` says that it is one."""

    def __init__(
        self, body: memoryview, libheif: LibHeif, libavif: LibAvif, libde265: LibDe265
    ) -> None:
        super().__init__(body, libheif, libavif)
        self._libde265 = libde265
        with libheif.opened(body) as primary:
            alpha = primary.alpha
            self.is_coded = primary.crops_first and bool(alpha) == primary.has_alpha
            self.is_coded = self.is_coded and self._is_as_said(
                primary.item, (primary.chroma,) * primary.is_planar, (primary.depth,)
            )
            if alpha:
                self.is_coded = self.is_coded and self._is_as_said(alpha, ALPHA_CHROMAS, DEPTHS)

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        Done finely, a plane is copied. The compressed samples are copied, too, and for a moment
        twice.
        """
        by = factor(self.size, max_side)
        finely = self._finely(by)
        a_pixel = self._colour_bytes + self._sample_bytes * finely
        if self._alpha_bytes:
            a_pixel = max(a_pixel, KEPT_BYTES + ALPHA_PLANES_BYTES)
        held = int(math.prod(self._stored) * (a_pixel + NOTES_BYTES))
        small = math.prod(divided(self.size, by)) * PIXEL_BYTES
        bands = 2 * band_bytes(self._stored[0])
        return len(self._body) + max(len(self._body), held + small + bands)

    def decode(self, max_side: int) -> Image.Image:
        """The primary image, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        by = factor(self.size, max_side)
        with self._libheif.opened(self._body) as primary:
            colour = partial(self._in_rgb, primary.item, primary.colours, by)
            corner, size = primary.corner, primary.size
            if primary.alpha:
                return lay_on_white(
                    colour,
                    partial(self._in_rgb, primary.alpha, None, by, grey=True),
                    corner=corner,
                    size=size,
                    premultiplied=primary.premultiplied,
                    by=by,
                )
            with colour() as rgb:
                check_shown(rgb.size, corner, size)
                return shrink(size, part_of(rgb.rows, rgb.size[0], corner, size), by)

    def _is_as_said(self, item: Item, chromas: Sequence[int], depths: Sequence[int]) -> bool:
        """Whether what libde265 will find is no more than what was announced, and is charged.

        Of colours that libheif takes for RGB nothing is announced but their depth.
        """
        try:
            found = read_format(find_config(self._body, item.number))
        except (ValueError, IndexError):
            return False
        fits = all(
            side <= stored + BLOCK_SIDE
            for side, stored in zip(found.size, self._stored, strict=True)
        )
        depth, other = found.depths
        alike = depth == other or found.chroma == GREY
        known = not chromas or found.chroma in chromas
        return (
            item.kind == CODED and fits and alike and known and depth in depths and depth in DEPTHS
        )

    def _finely(self, by: int) -> bool:
        """Whether samples are adapted one by one: not where many become one, nor without room."""
        return by == 1 and self._colour_bytes < DEEP_444_BYTES

    @contextmanager
    def _in_rgb(
        self, item: Item, colours: Colours | None, by: int, *, grey: bool = False
    ) -> Iterator[Rgb]:
        """An item's rows, in these colours; without them in its own. Of alpha, only the grey."""
        limit = math.prod(side + BLOCK_SIDE for side in self._stored)
        config = find_config(self._body, item.number)
        with self._libde265.decoding(
            size_limit=limit, finely=self._finely(by) and not grey
        ) as decoder:
            decoder.push(config.units)
            with item.data() as data:
                if len(data) > len(self._body):
                    raise ValueError("parts of it are there more than once")
                decoder.push(units(data, config.length_bytes))
            # Else the C library keeps what was worked with.
            give_back()
            with _lent(self._libavif, decoder.picture(), colours, grey=grey) as rgb:
                yield rgb


@contextmanager
def _lent(
    library: LibAvif, picture: Picture, colours: Colours | None, *, grey: bool
) -> Iterator[Rgb]:
    found = AS_JPEG if grey else colours or picture.colours
    planes, chroma = (picture.planes[:1], GREY) if grey else (picture.planes, picture.chroma)
    with library.images(1) as (image,):
        image.range, image.colours[:] = found.full_range, found.codes
        lend(image, planes, chroma)
        with in_rgb(library, image, BAND_ROWS) as rgb:
            yield rgb
