"""`data:` URLs (RFC 2397), both ways."""

import io
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import pybase64

from app.errors import ImageMissing, ImageTooLarge, ImageUnreadable, ImageUrlInvalid

HEAD_MAX_CHARS = 1_024
ESCAPES_MAX = 65_536
"""Of text that is no base64: decoding takes a hundred bytes for each."""
ESCAPES = {b"%2B": b"+", b"%2F": b"/", b"%3D": b"=", b"%0A": b"", b"%0D": b"", b"%20": b""}
"""All that base64 needs."""
BLANKS = b" \t\n\f\r"
STEP_BYTES = 3 << 18
"""A multiple of three, so that no step ends in padding."""

_BASE64 = re.compile(r";\s*base64\s*\Z", re.IGNORECASE)


def is_data_url(url: str) -> bool:
    """Whether it is one, rather than an address."""
    return url[:HEAD_MAX_CHARS].lstrip()[:5].lower() == "data:"


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """Return the bytes inside, whatever the media type. `max_bytes=0` allows any number.

    Blanks and escapes are read as browsers do (WHATWG Fetch §6); counted before decoding.

    Raises:
        ImageUrlInvalid, ImageMissing: It has no comma, or nothing behind it.
        ImageTooLarge, ImageUnreadable: It holds more than `max_bytes`, or is not valid base64.
    """
    comma = url.find(",", 0, HEAD_MAX_CHARS)
    if comma < 0:
        raise ImageUrlInvalid("The image's data: URL has no comma: data:<type>;base64,<base64>.")
    text = url[comma + 1 :].encode("ascii", "replace")
    n_bytes = len(text) - sum(text.count(blank) for blank in BLANKS) - 2 * text.count(b"%")
    is_base64 = _BASE64.search(url[:comma])
    if is_base64:
        n_bytes = n_bytes * 3 // 4 - 2  # There may be padding.
    if 0 < max_bytes < n_bytes:
        raise ImageTooLarge(f"The image has {n_bytes} bytes; at most {max_bytes} are accepted.")
    data = _from_base64(text) if is_base64 else _from_escapes(text)
    if not data:
        raise ImageMissing("The image's data: URL is empty.")
    return data


def _from_base64(text: bytes) -> bytes:
    if b"%" in text:
        for escape, plain in ESCAPES.items():
            text = text.replace(escape, plain).replace(escape.lower(), plain)
    text = text.translate(None, BLANKS).removesuffix(b"=").removesuffix(b"=")
    try:
        return pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as exc:
        raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc


def _from_escapes(text: bytes) -> bytes:
    if text.count(b"%") > ESCAPES_MAX:
        raise ImageUnreadable("The image's data: URL is too long for percent-encoding; use base64.")
    return unquote_to_bytes(text)


def data_url_chars(mime: str, n_bytes: int) -> int:
    """Return the length of the URL that `n_bytes` of this type become."""
    return len(f"data:{mime};base64,") + (n_bytes + 2) // 3 * 4


def encode_data_url(mime: str, parts: Sequence[memoryview]) -> bytes:
    """Return the pieces of a file as one URL; in steps, so that no second copy is held."""
    out = io.BytesIO()
    out.write(f"data:{mime};base64,".encode())
    rest = b""
    for part in parts:
        for at in range(0, len(part), STEP_BYTES):
            piece = rest + bytes(part[at : at + STEP_BYTES])
            cut = len(piece) - len(piece) % 3
            out.write(pybase64.b64encode(memoryview(piece)[:cut]))
            rest = piece[cut:]
    out.write(pybase64.b64encode(rest))
    return out.getvalue()
