"""Tiles side by side and above one another: the same picture as they were cut from."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image

from app.images.bands import Decoded, shrink
from app.images.mosaic import TILE_SIDE, TILES_MAX, Mosaic, Size, read_grid
from tests.images.files import noise

WHOLE = noise(301, 199)


class Tile:
    """A part of an image, whose rows can be had once, from top to bottom."""

    def __init__(self, image: Image.Image) -> None:
        self.size = image.size
        self._image, self._from = image, 0

    def rows(self, top: int, bottom: int) -> Image.Image:
        assert self._from <= top < bottom <= self.size[1]
        self._from = top
        return self._image.crop((0, top, self.size[0], bottom))


def mosaic(size: Size, tile: Size, log: list[int], less: int = 0) -> Mosaic:
    columns = -(-size[0] // tile[0])

    @contextmanager
    def decode(number: int) -> Iterator[Decoded]:
        log.append(number)
        left, top = number % columns * tile[0], number // columns * tile[1]
        yield Tile(WHOLE.crop((left, top, left + tile[0] - less, top + tile[1])))

    return Mosaic(size, tile, decode)


@pytest.mark.parametrize(
    "tile", [(64, 64), (100, 30), (301, 199), (512, 512), (301, 64), (64, 199)]
)
def test_it_is_the_picture_and_each_tile_is_decoded_once(tile: Size) -> None:
    log = list[int]()
    rows = mosaic(WHOLE.size, tile, log).rows
    assert shrink(WHOLE.size, rows, 1).tobytes() == WHOLE.tobytes()
    assert log == list(range(-(-301 // tile[0]) * -(-199 // tile[1])))


def test_only_the_tiles_asked_for_are_decoded() -> None:
    log = list[int]()
    part = mosaic(WHOLE.size, (64, 64), log).rows(60, 70)
    assert part.tobytes() == WHOLE.crop((0, 60, 301, 70)).tobytes()
    assert log == list(range(10))


def test_a_tile_smaller_than_announced_is_an_error() -> None:
    with pytest.raises(ValueError, match="smaller"):
        mosaic(WHOLE.size, (64, 64), [], less=1).rows(0, 8)


def said(down: int, across: int, size: Size, *, wide: bool = False) -> memoryview:
    return memoryview(
        struct.pack(">BBBB" + ("II" if wide else "HH"), 0, wide, down - 1, across - 1, *size)
    )


@pytest.mark.parametrize("wide", [False, True])
def test_tiles_are_named_row_by_row(*, wide: bool) -> None:
    tiles = list(range(10, 16))
    told = said(2, 3, (130, 70), wide=wide)
    assert read_grid(told, tiles, (130, 70), (64, 64)) == tiles


def test_tiles_beyond_the_picture_are_left_out() -> None:
    tiles = list(range(10, 16))
    assert read_grid(said(2, 3, (100, 60)), tiles, (100, 60), (64, 64)) == [10, 11]


SIZE = (130, 70)
UNFIT: dict[str, dict[str, Any]] = {
    "another size than announced": {"said": said(2, 3, (131, 70))},
    "tiles are missing": {"tiles": list(range(5))},
    "a tile comes twice": {"tiles": [0, 1, 2, 3, 4, 4]},
    "too small tiles": {"tile": (43, 64)},
    "too low tiles": {"tile": (64, 34)},
    "far too large tiles": {"tile": (131 + TILE_SIDE, 64)},
    "cut off": {"said": said(2, 3, SIZE)[:6]},
    "nothing": {"said": memoryview(b""), "tiles": []},
}


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT.keys())
def test_tiles_that_do_not_make_the_picture_are_an_error(changes: dict[str, Any]) -> None:
    fit: dict[str, Any] = {"said": said(2, 3, SIZE), "tiles": list(range(6)), "size": SIZE}
    assert read_grid(**fit, tile=(64, 64)) == fit["tiles"]
    with pytest.raises(ValueError, match="tiles"):
        read_grid(**{**fit, "tile": (64, 64), **changes})


def test_more_tiles_than_cameras_make_are_refused() -> None:
    size = (64 * 64, 64 * 16 + 1)
    assert size[0] // 64 * (size[1] // 64) == TILES_MAX
    with pytest.raises(ValueError, match="too many"):
        read_grid(said(17, 64, size), list(range(17 * 64)), size, (64, 64))
