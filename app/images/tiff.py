"""What a TIFF's first directory (TIFF 6.0 §2) asks of a decoder, before one obeys it."""

from typing import Literal

from app.errors import ImageUnreadable
from app.images.structure import PARTS_MAX

SHORT = 3
WIDTH, HEIGHT = 256, 257
TILE_WIDTH, TILE_HEIGHT = 322, 323
OFFSETS = (273, 324)
"""Of strips and of tiles: one number for each."""

TILE_MAX_PIXELS = 1 << 22
"""A tile is decoded whole, also where the picture is smaller: 2048 x 2048 is plenty."""


def check(data: memoryview) -> None:
    """Refuse a directory that makes a decoder take far more memory than the picture.

    Raises:
        ImageUnreadable: Its tiles are too many, or too large.
    """
    tags = _first_directory(data)
    if any(tags.get(tag, (0, 0))[0] > PARTS_MAX for tag in OFFSETS):
        raise ImageUnreadable(f"This TIFF consists of more than {PARTS_MAX} strips or tiles.")
    tile = tags.get(TILE_WIDTH, (0, 0))[1] * tags.get(TILE_HEIGHT, (0, 0))[1]
    picture = tags.get(WIDTH, (0, 0))[1] * tags.get(HEIGHT, (0, 0))[1]
    if tile > max(picture, TILE_MAX_PIXELS):
        raise ImageUnreadable("This TIFF has tiles larger than its picture.")


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
