"""Pictures to upload, the same in every run: noise of a wanted size, and what cameras make."""

import io
import math
import random
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

QUALITY = 95
BYTES_PER_PIXEL = 2.42
"""Of noise at that quality and without subsampling; measured."""

MAX_SIDE = 2_048
"""Larger pictures are scaled down by the service; these are to pass unchanged."""

ORIENTATION, SIDEWAYS = 0x0112, 6
"""What a camera held upright writes, so that a picture must be turned."""

PHOTOS = ("JPEG", "PNG", "JPEG", "WEBP", "JPEG", "PNG", "AVIF", "WEBP")
"""In the order in which they are sent; each has to be decoded, scaled down and encoded again."""

GRAIN = 0.1
"""Of noise in a photo; then a JPEG of 12 megapixels has 2 MB, a PNG 15."""


def jpeg(n_bytes: int) -> bytes:
    """A JPEG file of noise with about `n_bytes` bytes, within 5 %."""
    pixels = n_bytes / BYTES_PER_PIXEL
    width = min(MAX_SIDE, math.isqrt(int(pixels * 4 / 3)))
    size = (width, round(pixels / width))
    noise = random.Random(n_bytes).randbytes(3 * size[0] * size[1])  # noqa: S311 - no secret
    file = io.BytesIO()
    Image.frombytes("RGB", size, noise).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


@lru_cache(maxsize=1)
def photos(size: tuple[int, int]) -> Sequence[bytes]:
    """Eight different photos of so many pixels: what `PHOTOS` says, the JPEG files sideways."""
    return tuple(_photo(size, kind, number) for number, kind in enumerate(PHOTOS))


def _photo(size: tuple[int, int], kind: str, number: int) -> bytes:
    soft, grain = (_noise(size, by, number).resize(size) for by in (100, 4))
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS if kind == "JPEG" else 1
    options = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}, "AVIF": {"speed": 10}}
    file = io.BytesIO()
    Image.blend(soft, grain, GRAIN).save(file, kind, exif=exif, **options.get(kind, {}))
    return file.getvalue()


def _noise(size: tuple[int, int], by: int, number: int) -> Image.Image:
    small = (max(1, size[0] // by), max(1, size[1] // by))
    noise = random.Random(number).randbytes(3 * small[0] * small[1])  # noqa: S311 - no secret
    return Image.frombytes("RGB", small, noise)
