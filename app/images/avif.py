"""An AVIF picture, decoded by libavif.

Pillow's decoder hands out frames whole, and holds three copies of them on the way.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from PIL import Image

from app.errors import ImageTypeUnsupported
from app.images.av1 import has_grain
from app.images.avif_items import Patch, find_layers, primary_of, showing, whole_meta
from app.images.bands import BAND_ROWS, Decoded, band_bytes, shrink
from app.images.boxes import Properties, size_of, tiles_of
from app.images.colour import to_8_bits
from app.images.items import Items
from app.images.layers import KEPT_BYTES, Layer, lay_on_white
from app.images.libavif import LibAvif, Parsed
from app.images.libavif_abi import AvifImage
from app.images.mosaic import Mosaic, Size, read_grid
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import SAMPLE_BITS
from app.images.turns import Step, orientation_of
from app.images.yuv import FORMATS, GREY, Colours, Rgb, in_rgb

SAMPLES = {1: 3.0, 2: 2.0, 3: 1.5, 4: 1.0}
"""Of a pixel, by avifPixelFormat: 4:4:4, 4:2:2, 4:2:0, grey."""

NOTES_BYTES = 1
"""A pixel, of what dav1d notes of its blocks. Measured."""

TILE_SIDE = 1024
"""A picture put together of tiles may be this much smaller than they are."""

DEEP_444_BYTES = 6
"""A pixel of colours in more than 8 bits, none of them halved. Tiles of these are decoded one by
one: libavif has all of them beside the picture."""

READ_MAX_BYTES = 1 << 25
"""Of boxes, for all tiles together: libavif reads them anew for each."""

ROOM_BYTES = 6
"""A pixel, of planes. There are notes and results beside them."""

ROTATED, MIRRORED = 4, 8
"""Which transformations a picture has (avifTransformFlag)."""


@dataclass(frozen=True, slots=True)
class _Tiles:
    items: list[int]
    size: Size
    """Of each."""


class AvifPicture:
    """A picture that libavif opens."""

    def __init__(self, body: memoryview, library: LibAvif) -> None:
        self._body = body
        self._library = library
        with library.parsed(body) as parsed:
            image = parsed.image
            self.size: tuple[int, int] = (image.width, image.height)
            self.orientation = _orientation(parsed)
            self.icc = parsed.icc
            sample_bytes = 2 if image.depth > SAMPLE_BITS else 1
            self._colour_bytes = SAMPLES.get(image.format, 3.0) * sample_bytes
            self._alpha_bytes = sample_bytes * parsed.has_alpha
            self._premultiplied = bool(image.alpha_premultiplied)
            self._meant = Colours(tuple(image.colours), full_range=bool(image.range))
            depth: int = image.depth
        self._layers = find_layers(body) if self._alpha_bytes else None
        if self._layers and not self._is_grey(self._layers.alpha, depth):
            self._layers = None
        self._items, self._primary = Items(body), primary_of(body)
        self._tiles = self._find_tiles() if self._colour_bytes == DEEP_444_BYTES else None
        self._check_room()

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        The planes count twice: grain is laid on a copy, and so are tiles put together.
        """
        a_pixel = 2 * (self._colour_bytes + self._alpha_bytes)
        if self._layers:
            a_pixel = max(2 * self._colour_bytes, KEPT_BYTES + 2 * self._alpha_bytes)
        small = math.prod(divided(self.size, factor(self.size, max_side)))
        held = int(math.prod(self.size) * (a_pixel + NOTES_BYTES))
        return held + small * PIXEL_BYTES + band_bytes(self.size[0])

    def decode(self, max_side: int) -> Image.Image:
        """The first frame, or the primary item, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        by = factor(self.size, max_side)
        if self._layers:
            return lay_on_white(
                self._colours(self._layers.colour),
                partial(self._in_rgb, self._layers.alpha),
                corner=(0, 0),
                size=self.size,
                premultiplied=self._premultiplied,
                by=by,
            )
        with self._colours(whole_meta(self._body) if self._tiles else None)() as decoded:
            return shrink(decoded.size, _Rows(decoded), by)

    def _find_tiles(self) -> _Tiles | None:
        """Those that the colours are put together of, if they are."""
        item, meta = self._primary, whole_meta(self._body)
        tiles = tiles_of(self._body, item)
        if not tiles or not meta:
            return None
        if len(tiles) * len(meta.data) > READ_MAX_BYTES:
            raise ValueError("there is too much to read for every tile")
        size = size_of(self._body, Properties(self._body).of(tiles[0]))
        return _Tiles(read_grid(self._items.data(item), tiles, self.size, size), size)

    def _check_room(self) -> None:
        """Refuse a picture of which libavif would hold more than there is room for.

        Grain is laid on a copy.
        """
        alpha_bytes = 0 if self._layers else self._alpha_bytes
        if 2 * self._colour_bytes + alpha_bytes <= ROOM_BYTES or not self._primary:
            return
        item = self._tiles.items[0] if self._tiles else self._primary
        grain = has_grain(self._items.data(item))
        if self._colour_bytes * (1 + grain) + alpha_bytes > ROOM_BYTES:
            raise ImageTypeUnsupported(
                "This AVIF is stored in a way that takes too much memory to decode; "
                "send it with 8 bits a sample, or as a JPEG."
            )

    def _colours(self, meta: Patch | None) -> Layer:
        tiles = self._tiles
        if not tiles or not meta:
            return partial(self._in_rgb, meta)

        def tile(number: int) -> AbstractContextManager[Rgb]:
            # Made one by one: each is a copy of the box that tells of them all.
            return self._in_rgb(showing(self._body, meta, tiles.items[number]), self._meant)

        return lambda: nullcontext(Mosaic(self.size, tiles.size, tile))

    def _is_grey(self, meta: Patch, depth: int) -> bool:
        """Whether alpha is a grey picture as large and as deep as the colours are."""
        with self._library.parsed(self._body, meta=meta) as parsed:
            image = parsed.image
            found = ((image.width, image.height), image.format, image.depth)
            return found == (self.size, FORMATS[GREY], depth)

    @contextmanager
    def _in_rgb(self, meta: Patch | None, meant: Colours | None = None) -> Iterator[Rgb]:
        """The rows of what a box tells of, in these colours; without them in its own."""
        limit = math.prod(side + TILE_SIDE for side in self.size)
        with (
            self._library.parsed(self._body, meta=meta, size_limit=limit) as parsed,
            in_rgb(self._library, _decoded(parsed, meant), BAND_ROWS) as rgb,
        ):
            yield rgb


def _decoded(parsed: Parsed, meant: Colours | None) -> AvifImage:
    image = parsed.decode()
    if meant:
        image.range, image.colours[:] = meant.full_range, meant.codes
    return image


class _Rows:
    def __init__(self, rgb: Decoded) -> None:
        self._rgb = rgb

    def __call__(self, top: int, bottom: int) -> Image.Image:
        return to_8_bits(self._rgb.rows(top, bottom), None)


def _orientation(parsed: Parsed) -> int:
    image = parsed.image
    steps: list[Step] = []
    if image.transforms & ROTATED:
        steps.append(("irot", image.angle))
    if image.transforms & MIRRORED:
        steps.append(("imir", image.axis))
    return orientation_of(steps)
