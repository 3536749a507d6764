"""Pictures to upload: clean JPEG files of a wanted size, the same in every run."""

import io
import math
import random

from PIL import Image

QUALITY = 95
BYTES_PER_PIXEL = 2.42
"""Of noise at that quality and without subsampling; measured."""

MAX_SIDE = 2_048
"""Larger pictures are scaled down by the service; these are to pass unchanged."""


def jpeg(n_bytes: int) -> bytes:
    """A JPEG file of noise with about `n_bytes` bytes, within 5 %."""
    pixels = n_bytes / BYTES_PER_PIXEL
    width = min(MAX_SIDE, math.isqrt(int(pixels * 4 / 3)))
    size = (width, round(pixels / width))
    noise = random.Random(n_bytes).randbytes(3 * size[0] * size[1])  # noqa: S311 - no secret
    file = io.BytesIO()
    Image.frombytes("RGB", size, noise).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
