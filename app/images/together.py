"""Components that stand together in a scan of a JPEG, though not all of them, decoded by libtiff.

Pillow takes one, three or four of them, and three as colours. A TIFF with a JPEG inside may have
any number (TIFF Technical Note 2), and is read row by row.
"""

import struct
from collections.abc import Sequence

from PIL import Image

from app.images.bands import BAND_ROWS
from app.images.libtiff import LibTiff
from app.images.tiff import BITS, HEIGHT, PLANAR, ROWS_PER_STRIP, SAMPLES, SHORT, WIDTH

MODES = {2: "LA", 3: "RGB", 4: "CMYK"}
"""Pillow's, of as many samples. What they mean does not matter."""

COMPRESSION, PHOTOMETRIC, OFFSET, STRIP_BYTES = 259, 262, 273, 279
JPEG_INSIDE, INKS, SIDE_BY_SIDE = 7, 5, 1
"""Values of the first two: that of inks libtiff leaves as they are; and of how samples lie."""

LONG = 4
HEAD_BYTES, BITS_BYTES = 8, 8
BITS_OF_TWO = struct.pack("<2H", 8, 8)


def decode_together(
    library: LibTiff, jpeg: Sequence[memoryview], size: tuple[int, int], count: int, by: int
) -> list[Image.Image]:
    """The planes of a JPEG that is one scan, in greyscale, their sides divided by a whole number.

    Args:
        library: Reads it.
        jpeg: In pieces, which are copied.
        size: In pixels.
        count: How many components it has: two to four, none of them smaller than another.
        by: A divisor of `BAND_ROWS`.

    Raises:
        ValueError: It is damaged, or not as the arguments say.
    """
    width, height = size
    planes = [Image.new("L", (-(-width // by), -(-height // by)), None) for _ in range(count)]
    with library.opened(_as_tiff(jpeg, size, count)) as rows:
        for top in range(0, height, BAND_ROWS):
            bottom = min(top + BAND_ROWS, height)
            band = Image.frombytes(MODES[count], (width, bottom - top), rows.read(top, bottom))
            for plane, part in zip(planes, band.split(), strict=True):
                plane.paste(part.reduce(by), (0, top // by))
    return planes


def _as_tiff(jpeg: Sequence[memoryview], size: tuple[int, int], count: int) -> memoryview:
    """A file whose only strip is the JPEG (TIFF 6.0 §2)."""
    width, height = size
    tags = {WIDTH: width, HEIGHT: height, ROWS_PER_STRIP: height, SAMPLES: count}
    tags |= {COMPRESSION: JPEG_INSIDE, PHOTOMETRIC: INKS, PLANAR: SIDE_BY_SIDE}
    tags[STRIP_BYTES] = sum(map(len, jpeg))
    bits = HEAD_BYTES + 2 + 12 * (len(tags) + 2) + 4
    tags[OFFSET] = bits + BITS_BYTES
    entries = {tag: struct.pack("<HHII", tag, LONG, 1, value) for tag, value in tags.items()}
    # Two of them fit in where else their place is told.
    place = BITS_OF_TWO if count <= len(BITS_OF_TWO) // 2 else bits.to_bytes(4, "little")
    entries[BITS] = struct.pack("<HHI", BITS, SHORT, count) + place
    head = struct.pack("<2sHIH", b"II", 42, HEAD_BYTES, len(entries))
    every = (entries[tag] for tag in sorted(entries))
    return memoryview(b"".join((head, *every, bytes(4), 2 * BITS_OF_TWO, *jpeg)))
