"""What a TIFF's first directory (TIFF 6.0 §2) asks of a decoder, before one obeys it."""

from typing import Literal

from PIL import TiffImagePlugin

from app.errors import ImageUnreadable
from app.images.structure import PARTS_MAX

SHORT = 3
WIDTH, HEIGHT = 256, 257
BITS, SAMPLES, ROWS_PER_STRIP, PLANAR = 258, 277, 278, 284
TILE_WIDTH, TILE_HEIGHT = 322, 323
OFFSETS = (273, 324)
"""Of strips and of tiles: one number for each."""

TILE_MAX_PIXELS = 1 << 22
"""A tile is decoded whole, also where the picture is smaller: 2048 x 2048 is plenty."""

PLANES_APART = 2
"""PlanarConfiguration: each plane has strips or tiles of its own."""


def check(data: memoryview) -> None:
    """Refuse a directory that makes a decoder take far more memory than the picture.

    Raises:
        ImageUnreadable: Its tiles are too many, or too large.
    """
    tags = _first_directory(data)
    if any(tags.get(tag, (0, 0))[0] > PARTS_MAX for tag in OFFSETS):
        raise ImageUnreadable(f"This TIFF consists of more than {PARTS_MAX} strips or tiles.")
    tile = tags.get(TILE_WIDTH, (0, 0))[1] * tags.get(TILE_HEIGHT, (0, 0))[1]
    if tile > TILE_MAX_PIXELS:
        raise ImageUnreadable(f"This TIFF has tiles of more than {TILE_MAX_PIXELS} pixels.")


def stored_size(image: TiffImagePlugin.TiffImageFile) -> tuple[int, int]:
    """In pixels as they are stored; Pillow tells of the turned picture."""
    return image.tag_v2[WIDTH], image.tag_v2[HEIGHT]


def buffer_bytes(image: TiffImagePlugin.TiffImageFile) -> int:
    """What Pillow decodes at once beside the picture: a strip, or a tile."""
    tags = image.tag_v2
    if not any(tile.codec_name == "libtiff" for tile in image.tile):
        return 0
    width, height = stored_size(image)
    width = tags.get(TILE_WIDTH, width)
    height = tags.get(TILE_HEIGHT, min(tags.get(ROWS_PER_STRIP, height), height))
    apart = tags.get(PLANAR, 1) == PLANES_APART
    samples = 1 if apart else tags.get(SAMPLES, 1)
    bits = max(tags.get(BITS, (1,)))
    return int(width * height * samples * bits) // 8


def _first_directory(data: memoryview) -> dict[int, tuple[int, int]]:
    """Count and first value of each tag; of two alike the first counts, as for decoders."""
    order: Literal["little", "big"] = "little" if data[0] == ord("I") else "big"
    big = bytes(data[2:4]) in (b"+\0", b"\0+")

    def number(at: int, n_bytes: int) -> int:
        return int.from_bytes(data[at : at + n_bytes], order)

    start = number(8, 8) if big else number(4, 4)
    n_count, entry, word = (8, 20, 8) if big else (2, 12, 4)
    found: dict[int, tuple[int, int]] = {}
    first = start + n_count
    end = min(first + entry * number(start, n_count), len(data))
    for at in range(first, end, entry):
        count, value = number(at + 4, word), at + 4 + word
        short = number(at + 2, 2) == SHORT
        found.setdefault(number(at, 2), (count, number(value, 2 if short else word)))
    return found
