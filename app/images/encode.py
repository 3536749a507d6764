"""Picture bytes into a `data:` URL that the upstream takes, made smaller until it does."""

import binascii
import io
from collections.abc import Sequence

from PIL import Image

from app.images.limits import MAX_URL_BYTES

QUALITIES = (90, 80, 70, 60)
SHRINK = 0.7
"""Of each side, when no quality was enough: half the pixels."""

STEP_BYTES = 3 << 17
"""Base64 holds the interpreter's lock, so it is done in steps below a millisecond; a multiple of
three, so that no step ends in padding."""


def url_bytes(mime: str, n_bytes: int) -> int:
    """Length of the `data:` URL that `n_bytes` of this type become."""
    return len(_prefix(mime)) + (n_bytes + 2) // 3 * 4


def data_url(mime: str, parts: Sequence[memoryview]) -> bytes:
    """The pieces of a file as one `data:` URL (RFC 2397)."""
    whole = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
    # At its final size from the start: growing, it would be moved with every other step.
    out = io.BytesIO(bytes(url_bytes(mime, len(whole))))
    out.write(_prefix(mime))
    for at in range(0, len(whole), STEP_BYTES):
        out.write(binascii.b2a_base64(whole[at : at + STEP_BYTES], newline=False))
    return out.getvalue()


def jpeg_url(image: Image.Image, *, max_bytes: int = MAX_URL_BYTES) -> bytes:
    """A greyscale or RGB image as a JPEG in a `data:` URL of at most `max_bytes`."""
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if url_bytes("image/jpeg", out.getbuffer().nbytes) <= max_bytes:
                return data_url("image/jpeg", [out.getbuffer()])
        smaller = (max(1, int(image.width * SHRINK)), max(1, int(image.height * SHRINK)))
        image = image.resize(smaller, Image.Resampling.LANCZOS)


def _prefix(mime: str) -> bytes:
    return f"data:{mime};base64,".encode()
