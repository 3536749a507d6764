"""`data:` URLs (RFC 2397) of base64, both ways."""

import io
import re
from collections.abc import Sequence

import pybase64

from app.errors import ImageTooLarge, ImageUnreadable, ImageUrlInvalid

BLANKS = b" \t\n\f\r"
ESCAPES = {b"%2B": b"+", b"%2F": b"/", b"%3D": b"=", b"%0A": b"", b"%0D": b"", b"%20": b""}
"""All that base64 needs; to unescape anything would take a hundred bytes for each."""
STEP_BYTES = 3 << 18
"""A multiple of three, so that no step ends in padding."""

_HEAD = re.compile(r"\s*data:[^,]{0,1024}?;\s*base64\s*,", re.IGNORECASE)


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """Return the bytes inside, whatever the media type. `max_bytes=0` allows any number.

    Blanks and escapes are read as browsers do (WHATWG Fetch §6), and counted before decoding.
    Raises `ImageUrlInvalid`, `ImageTooLarge`, or `ImageUnreadable` for no base64.
    """
    head = _HEAD.match(url)
    if not head:
        raise ImageUrlInvalid("The image's data: URL must be data:<type>;base64,<base64>.")
    text = url[head.end() :].encode("ascii", "replace")
    n_chars = len(text) - sum(text.count(blank) for blank in BLANKS) - 2 * text.count(b"%")
    if 0 < max_bytes < n_chars * 3 // 4 - 2:  # There may be padding.
        raise ImageTooLarge(f"The image has more than the {max_bytes} bytes that are accepted.")
    for escape, plain in ESCAPES.items() if b"%" in text else ():
        text = text.replace(escape, plain).replace(escape.lower(), plain)
    text = text.translate(None, BLANKS).removesuffix(b"=").removesuffix(b"=")
    try:
        return pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as exc:
        raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc


def encode_data_url(mime: str, parts: Sequence[memoryview]) -> bytes:
    """Return the pieces of a file as one URL; in steps, so that no second copy of it is held."""
    file, out = memoryview(b"".join(parts)), io.BytesIO()
    out.write(f"data:{mime};base64,".encode())
    for at in range(0, len(file), STEP_BYTES):
        out.write(pybase64.b64encode(file[at : at + STEP_BYTES]))
    return out.getvalue()
