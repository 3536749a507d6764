"""A HEIC picture of HEVC, in one piece as cameras write HIF files, or of tiles as phones do.

libde265 decodes it at first hand, the colours first and then alpha, so that planes stand in memory
once, those of alpha not beside those of the colours, and of tiles only a few.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from PIL import Image

from app.errors import ImageTypeUnsupported
from app.images.bands import Decoded, band_bytes, shrink
from app.images.boxes import tiles_of
from app.images.coded import Coded
from app.images.foreign import give_back
from app.images.hevc import Format
from app.images.layers import KEPT_BYTES, Layer, check_shown, lay_on_white, part_of
from app.images.libavif import LibAvif
from app.images.libde265 import LibDe265
from app.images.libheif import Item, LibHeif, Primary
from app.images.mosaic import PIXEL_BYTES as BESIDE_BYTES
from app.images.mosaic import Mosaic, Size, read_grid
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import SAMPLE_BITS
from app.images.turns import orientation_of
from app.images.yuv import GREY

CODED, GRID = b"hvc1", b"grid"

SAMPLES = {GREY: 1.0, 1: 1.5, 2: 2.0, 3: 3.0}
"""Of a pixel, by chroma."""

NOTES_BYTES = 1
"""A pixel, of what libde265 notes of its blocks. Measured."""

OPAQUE_BYTES = 1
"""A pixel of alpha, once it is decoded."""

DEEP_444_BYTES = 6
"""A pixel of colours in more than 8 bits, none of them halved. Beside these there is no room for a
copy of a plane."""

CUT_MAX, ALPHA_MAX = 4, 2
"""How many times as many pixels may be stored as are shown, and alpha have as the colours."""

TILES_MIN = 8
"""So many make one small enough that there is room for such a copy."""

SMALL_PIXELS = 1 << 19
"""Of a tile that leaves little behind. Giving it back takes a millisecond or two each time."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """How colours or alpha of this size are stored: in which items, each of one size and format."""

    size: Size
    tiles: list[int]
    tile: Size
    format: Format

    @property
    def is_whole(self) -> bool:
        """Whether it is in one item, which has no more than is to be shown."""
        return len(self.tiles) == 1 and self.tile == self.size

    @property
    def pixel_bytes(self) -> float:
        deep = self.format.depths[0] > SAMPLE_BITS
        return SAMPLES[self.format.chroma] * (1 + deep)


class HeicPicture:
    """A picture whose boxes libheif has read."""

    def __init__(
        self, body: memoryview, libheif: LibHeif, libavif: LibAvif, libde265: LibDe265
    ) -> None:
        """Read its boxes.

        Raises:
            ImageTypeUnsupported: It is coded or put together otherwise.
            ValueError: It is damaged, or not as it says.
        """
        self._body = body
        self._coded = Coded(body, libde265, libavif)
        with libheif.opened(body) as primary:
            self.size: Size = primary.size
            self.orientation = orientation_of(primary.steps)
            self.icc = primary.icc
            self._corner, self._premultiplied = primary.corner, primary.premultiplied
            self._colours = primary.colours
            self._colour = self._stored(primary, primary.item)
            alpha = primary.alpha
            self._alpha = self._stored(primary, alpha) if alpha else None
        self._check_sizes()

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted.

        The compressed samples are copied; in several pieces, twice. Those of a body that can be
        written are given back then.
        """
        by = factor(self.size, max_side)
        held = self._layer_bytes(self._colour, by)
        if self._alpha:
            kept = math.prod(self._colour.size) * (KEPT_BYTES + OPAQUE_BYTES)
            opaque = math.prod(self._alpha.size) * OPAQUE_BYTES
            held = max(held, kept + opaque + self._layer_bytes(self._alpha, by))
        small = math.prod(divided(self.size, by)) * PIXEL_BYTES
        copied = len(self._body) if self._body.readonly else 0
        bands = 2 * band_bytes(self._colour.size[0])
        return max(2 * len(self._body), copied + held + small + bands)

    def decode(self, max_side: int) -> Image.Image:
        """The primary image, scaled down to about `max_side`. What it lies in may be used up.

        Raises:
            ValueError: It is cut off or damaged.
        """
        by, size = factor(self.size, max_side), self.size
        with ExitStack() as stack:
            colour = self._layer(stack, self._colour, by)
            alpha = self._layer(stack, self._alpha, by) if self._alpha else None
            # Else the C library keeps what was worked with.
            give_back()
            if alpha:
                return lay_on_white(
                    colour,
                    alpha,
                    corner=self._corner,
                    size=size,
                    premultiplied=self._premultiplied,
                    by=by,
                )
            with colour() as decoded:
                check_shown(decoded.size, self._corner, size)
                return shrink(size, part_of(decoded.rows, decoded.size[0], self._corner, size), by)

    def _check_sizes(self) -> None:
        """Refuse what makes a decoder work on far more than is shown.

        Raises:
            ValueError: It does so.
        """
        shown, whole = math.prod(self.size), math.prod(self._colour.size)
        alpha = math.prod(self._alpha.size) if self._alpha else 0
        if whole > shown * CUT_MAX or alpha > whole * ALPHA_MAX:
            raise ValueError("most of what is stored is not shown")

    def _stored(self, primary: Primary, item: Item) -> _Stored:
        coded, size = self._coded, self._coded.size(item.number)
        tile: Size | None = size
        tiles = [item.number]
        if item.kind == GRID:
            tiles = tiles_of(self._body, item.number)
            tile = coded.tile_size(tiles[0]) if tiles else size
            tiles = read_grid(coded.items.data(item.number), tiles, size, tile or size)
            if any(coded.tile_size(one) != tile for one in tiles):
                tile = None
        known = all(primary.item_of(one).kind == CODED for one in tiles)
        format_ = coded.format(tiles, tile) if known and tile else None
        if not tile or not format_:
            raise ImageTypeUnsupported(
                "This HEIC is not coded, or not put together, as phones and cameras do it."
            )
        return _Stored(size, tiles, tile, format_)

    def _layer_bytes(self, stored: _Stored, by: int) -> int:
        """While it is decoded. Done finely, a plane is copied."""
        plane = (1 + (stored.format.depths[0] > SAMPLE_BITS)) * self._finely(stored, by)
        held = math.prod(stored.tile) * (stored.pixel_bytes + plane + NOTES_BYTES)
        beside = stored.size[0] * stored.tile[1] * BESIDE_BYTES
        return int(held) + (0 if stored.is_whole else beside)

    def _finely(self, stored: _Stored, by: int) -> bool:
        """Whether samples are adapted one by one: not where many become one, nor without room."""
        small = math.prod(stored.tile) * TILES_MIN <= math.prod(stored.size)
        roomy = stored.pixel_bytes < DEEP_444_BYTES or small
        return by == 1 and roomy and stored is not self._alpha

    def _layer(self, stack: ExitStack, stored: _Stored, by: int) -> Layer:
        grey = stored is self._alpha
        push = partial(
            self._coded.push,
            colours=None if grey else self._colours,
            finely=self._finely(stored, by),
            grey=grey,
        )
        if stored.is_whole:
            return push(stack, stored.tiles[0])
        return partial(_joined, stored, push)


@contextmanager
def _joined(stored: _Stored, push: Callable[[ExitStack, int], Layer]) -> Iterator[Decoded]:
    @contextmanager
    def tile(number: int) -> Iterator[Decoded]:
        with ExitStack() as stack, push(stack, stored.tiles[number])() as decoded:
            yield decoded
        if math.prod(stored.tile) > SMALL_PIXELS:
            give_back()

    yield Mosaic(stored.size, stored.tile, tile)
