"""A `data:` URL with an image in it (RFC 2397), as canvases and file readers write it."""

import binascii
import re
from urllib.parse import unquote

from app.errors import ImageMissing, ImageTooLarge, ImageUnreadable, ImageUrlInvalid
from app.images.limits import MAX_BYTES

HEAD_MAX_CHARS = 256
"""`data:image/svg+xml;charset=utf-8;base64,` has 40; the head is searched no further."""

STEP_CHARS = 1 << 19
"""Decoding holds the interpreter's lock, so it is done in steps below a millisecond; a multiple
of four."""

_HEAD = re.compile(r"data:image/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.IGNORECASE)
SPACES = " \t\n\f\r"
"""Looked for one by one: that runs at the speed of memory, a pattern does not."""


def is_data_url(url: str) -> bool:
    """Whether it means to be one, rather than an address."""
    return url[:5].lower() == "data:"


def decode_data_url(url: str, *, max_bytes: int = MAX_BYTES) -> bytearray:
    """The bytes inside a `data:image/...;base64,` URL.

    White space and percent-encoding are read over as browsers do (WHATWG Fetch §6, Infra §7).
    The size is told from the length, before anything is decoded; `max_bytes=0` allows any.

    Raises:
        ImageUrlInvalid: It is no such URL.
        ImageMissing: Nothing is in it.
        ImageTooLarge: It holds more than `max_bytes`.
        ImageUnreadable: What is in it is not base64.
    """
    head = _HEAD.match(url[:HEAD_MAX_CHARS])
    if not head:
        raise ImageUrlInvalid("The image's data: URL must begin with data:image/<type>;base64,.")
    text = url[head.end() :]
    if "%" in text:
        text = unquote(text, errors="replace")
    if any(space in text for space in SPACES):
        text = "".join(text.split())
    text = text.removesuffix("=").removesuffix("=")
    if not text:
        raise ImageMissing("The image's data: URL is empty.")
    if 0 < max_bytes < len(text) * 3 // 4:
        raise ImageTooLarge(
            f"The image has {len(text) * 3 // 4} bytes; at most {max_bytes} are taken in."
        )
    try:
        return _decoded(text)
    except ValueError as exc:
        raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc


def _decoded(text: str) -> bytearray:
    if "=" in text:
        raise ValueError("padding in mid-text: a step that ends in it would be taken")
    # At its final size from the start: growing, it would be moved with every other step.
    out = bytearray(len(text) * 3 // 4)
    done = 0
    for at in range(0, len(text), STEP_CHARS):
        step = text[at : at + STEP_CHARS]
        piece = binascii.a2b_base64(step + "=" * (-len(step) % 4), strict_mode=True)
        out[done : done + len(piece)] = piece
        done += len(piece)
    return out
