"""A compressed TIFF that is one strip, or few: read row by row, since a strip is decoded whole."""

import math
from typing import cast

from PIL import Image, TiffImagePlugin

from app.errors import ImageUnreadable
from app.images.bands import BAND_ROWS, band_bytes, shrink
from app.images.colour import levels_of, to_8_bits
from app.images.libtiff import LibTiff, Rows
from app.images.picture import PIXEL_BYTES, PillowPicture, divided, factor
from app.images.sniff import Kind
from app.images.tiff import buffer_bytes, stored_size

STRIP_MAX_BYTES = 1 << 22
"""What may be decoded at once. Most programs write strips of 8 to 256 kB."""

COMPRESSIONS = frozenset(
    ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "lzma", "zstd")
)
"""That give rows as they are; others have pictures inside, or lines of two colours."""

PHOTOMETRIC, YCBCR = 262, 6
"""JPEG inside gives rows as they are, too, but of other colours where they are these."""

BESIDE_BYTES = 3.5
"""A pixel, of what may be decoded at once beside Pillow's own four, where rows cannot be had."""

MODES = frozenset(("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"))


class StripedPicture(PillowPicture):
    """Such a picture. `is_striped` says that it is one."""

    def __init__(self, body: memoryview, library: LibTiff) -> None:
        """Read its directory.

        Raises:
            ImageUnreadable: It is none, and what must be decoded at once is too much.
        """
        super().__init__(Kind.TIFF, (body,), None)
        self._body, self._library = body, library
        image = cast("TiffImagePlugin.TiffImageFile", self._open())
        tags, tile = image.tag_v2, image.tile[0]
        self.size = stored_size(image)
        self._raw_mode = str(tile.args[0]) if isinstance(tile.args, tuple) else ""
        how, at_once = image.info.get("compression"), buffer_bytes(image)
        self.is_striped = (
            tile.codec_name == "libtiff"
            and (how in COMPRESSIONS or (how == "jpeg" and tags.get(PHOTOMETRIC) != YCBCR))
            and image.mode in MODES
            and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 1
            and TiffImagePlugin.TILEWIDTH not in tags
            and at_once > STRIP_MAX_BYTES
        )
        if not self.is_striped and at_once > max(
            STRIP_MAX_BYTES, BESIDE_BYTES * math.prod(self.size)
        ):
            raise ImageUnreadable(
                f"This TIFF has strips or tiles of {at_once} bytes; send it with smaller ones."
            )

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        small = divided(self.size, factor(self.size, max_side))
        return math.prod(small) * PIXEL_BYTES + band_bytes(self.size[0]) + STRIP_MAX_BYTES

    def decode(self, max_side: int) -> Image.Image:
        """The first picture, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        with self._library.opened(self._body) as rows:
            bands = _Bands(rows, self._mode, self._raw_mode, self.size)
            levels = levels_of(bands)
            return shrink(
                self.size,
                lambda top, bottom: to_8_bits(bands(top, bottom), levels),
                factor(self.size, max_side),
            )


class _Bands:
    def __init__(self, rows: Rows, mode: str, raw_mode: str, size: tuple[int, int]) -> None:
        self._rows, self.mode, self._raw_mode, self._size = rows, mode, raw_mode, size

    def __call__(self, top: int, bottom: int) -> Image.Image:
        size, row_bytes = (self._size[0], bottom - top), self._rows.row_bytes
        samples = self._rows.read(top, bottom)
        return Image.frombytes(self.mode, size, samples, "raw", self._raw_mode, row_bytes, 1)

    def getextrema(self) -> tuple[float, float]:
        """The least and the most of all samples."""
        height = self._size[1]
        bands = (
            self(top, min(top + BAND_ROWS, height)).getextrema()
            for top in range(0, height, BAND_ROWS)
        )
        low, high = zip(*bands, strict=True)
        return min(low), max(high)
