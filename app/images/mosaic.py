"""A picture put together of tiles: how HEIC files tell of one, and its rows."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from PIL import Image

from app.images.arrow import FadingRows
from app.images.bands import BAND_ROWS, Decoded
from app.images.boxes import number_at

TILES_MAX = 1024
"""Cameras make up to 200. Each takes time besides its pixels."""

TILE_SIDE = 1024
"""A picture may be this much smaller than the tiles that it is put together of."""

PIXEL_BYTES = 4
"""Of the tiles side by side."""

Size = tuple[int, int]


def read_grid(said: memoryview, tiles: list[int], size: Size, tile: Size) -> list[int]:
    """The tiles that show something, row by row, of an item of the type `grid`.

    Args:
        said: The item's bytes (ISO/IEC 23008-12 §6.6.2.3).
        tiles: The items that it refers to.
        size: Of the picture, in pixels.
        tile: Of each tile.

    Raises:
        ValueError: It is damaged, or its tiles do not make such a picture.
    """
    wide = number_at(said, 1, 1) % 2
    down, across = number_at(said, 2, 1) + 1, number_at(said, 3, 1) + 1
    n_bytes = 4 if wide else 2
    output = (number_at(said, 4, n_bytes), number_at(said, 4 + n_bytes, n_bytes))
    if output != size or len(tiles) != across * down or len(set(tiles)) != len(tiles):
        raise ValueError("the tiles are not as announced")
    if not all(
        side <= count * one and one <= side + TILE_SIDE
        for side, one, count in zip(size, tile, (across, down), strict=True)
    ):
        raise ValueError("the tiles do not make the picture")
    needed = -(-size[0] // tile[0]), -(-size[1] // tile[1])
    if needed[0] * needed[1] > TILES_MAX:
        raise ValueError("the tiles are too many")
    starts = (row * across for row in range(needed[1]))
    return [one for at in starts for one in tiles[at : at + needed[0]]]


class Mosaic:
    """The rows of such a picture, in RGB. Only tiles that are side by side are held at a time."""

    def __init__(
        self, size: Size, tile: Size, decode: Callable[[int], AbstractContextManager[Decoded]]
    ) -> None:
        """Rows of a picture of this size.

        Args:
            size: Of the picture, in pixels.
            tile: Of each tile.
            decode: Has the tile of a number, from 0 on, row by row.
        """
        self.size = size
        self._tile, self._decode = tile, decode
        self._columns = -(-size[0] // tile[0])
        self._row, self._beside = -1, FadingRows(Image.new("RGB", (1, 1)))

    def rows(self, top: int, bottom: int) -> Image.Image:
        """These rows, each time below what came before.

        Raises:
            ValueError: A tile is damaged, or smaller than announced.
        """
        height = self._tile[1]
        row, above = divmod(top, height)
        if bottom <= (row + 1) * height:
            self._advance(row)
            return self._beside(above, above + bottom - top)
        band = Image.new("RGB", (self.size[0], bottom - top), None)
        while top < bottom:
            end = min(bottom, (top // height + 1) * height)
            band.paste(self.rows(top, end), (0, top - bottom + band.height))
            top = end
        return band

    def _advance(self, row: int) -> None:
        """Decode the tiles of a row."""
        if row == self._row:
            return
        width, height = self._tile
        beside = Image.new("RGB", (self.size[0], height), None)
        self._row, self._beside = row, FadingRows(beside)
        for column in range(self._columns):
            with self._decode(row * self._columns + column) as one:
                if one.size[0] < width or one.size[1] < height:
                    raise ValueError("a tile is smaller than announced")
                for top in range(0, height, BAND_ROWS):
                    part = one.rows(top, min(top + BAND_ROWS, height))
                    beside.paste(part, (column * width, top))
