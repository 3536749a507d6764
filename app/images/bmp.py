"""The one kind of bitmap that is refused: run-length encoded and large."""

from app.errors import ImageUnreadable

COMPRESSION = slice(30, 34)
RUN_LENGTHS = (1, 2)
"""BI_RLE8 and BI_RLE4."""

MAX_BYTES = 1 << 20
MAX_PIXELS = 4_000_000
"""Such bitmaps are decoded by an interpreted loop, a second for this many pixels."""


def check(data: memoryview) -> None:
    """Refuse a run-length encoded bitmap that takes seconds to decode.

    Raises:
        ImageUnreadable: It has more than `MAX_BYTES` or `MAX_PIXELS`.
    """
    if int.from_bytes(data[COMPRESSION], "little") not in RUN_LENGTHS:
        return
    width, height = (
        abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22)
    )
    if len(data) > MAX_BYTES or width * height > MAX_PIXELS:
        raise ImageUnreadable(
            f"This BMP is run-length encoded and has more than {MAX_BYTES} bytes "
            f"or {MAX_PIXELS} pixels; send it as a PNG."
        )
