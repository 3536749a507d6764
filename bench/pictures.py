"""Pictures to upload, the same in every run: noise of a wanted size, and photos as of cameras."""

import io
import math
import random
from functools import lru_cache

from PIL import Image

# A JPEG of noise has so many bytes a pixel at that quality, without subsampling; measured.
QUALITY, BYTES_PER_PIXEL = 95, 2.42
# Larger pictures are scaled down by the service; those of noise are to pass unchanged.
MAX_SIDE = 2_048
ORIENTATION, SIDEWAYS = 0x0112, 6  # the EXIF tag, and what a camera held upright writes there
FORMATS = ("JPEG", "PNG", "JPEG", "WEBP", "JPEG", "PNG", "AVIF", "WEBP")
OPTIONS = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}, "AVIF": {"speed": 10}}
GRAIN = 0.1  # share of noise in a photo: a JPEG of 12 megapixels then has 2 MB, a PNG 15


def jpeg(n_bytes: int) -> bytes:
    """A JPEG file of noise with about `n_bytes` bytes, within 5 %."""
    pixels = n_bytes / BYTES_PER_PIXEL
    width = min(MAX_SIDE, math.isqrt(int(pixels * 4 / 3)))
    noise, file = _noise((width, round(pixels / width)), seed=n_bytes), io.BytesIO()
    noise.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


@lru_cache(maxsize=1)
def photos(size: tuple[int, int]) -> list[bytes]:
    """A photo of so many pixels in each of FORMATS; each has to be decoded and scaled down."""
    return [_photo(size, kind, seed) for seed, kind in enumerate(FORMATS)]


def _photo(size: tuple[int, int], kind: str, seed: int) -> bytes:
    coarse, fine = (_noise((size[0] // by, size[1] // by), seed).resize(size) for by in (100, 4))
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS if kind == "JPEG" else 1
    file = io.BytesIO()
    Image.blend(coarse, fine, GRAIN).save(file, kind, exif=exif, **OPTIONS.get(kind, {}))
    return file.getvalue()


def _noise(size: tuple[int, int], seed: int) -> Image.Image:
    noise = random.Random(seed).randbytes(3 * size[0] * size[1])  # noqa: S311 - no secret
    return Image.frombytes("RGB", size, noise)
