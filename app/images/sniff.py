"""What a file is, by its first bytes. Its name and declared type are not asked."""

import re
from enum import Enum

from app.errors import ImageTypeUnsupported

HEAD_BYTES = 4_096
"""Enough for every signature, and for comments before `<svg` or `<html`."""


class Kind(Enum):
    """A format that is accepted, by its usual name."""

    JPEG, PNG, WEBP, GIF = "JPEG", "PNG", "WebP", "GIF"
    BMP, TIFF, HEIC, AVIF = "BMP", "TIFF", "HEIC", "AVIF"


_KINDS = {
    Kind.JPEG: rb"\xff\xd8\xff",
    Kind.PNG: rb"\x89PNG\r\n\x1a\n",
    Kind.WEBP: rb"RIFF.{4}WEBP",
    Kind.GIF: rb"GIF8[79]a",
    Kind.TIFF: rb"II[*+]\0|MM\0[*+]",
    # The length of its header tells a bitmap from a text that begins with "BM".
    Kind.BMP: rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    Kind.AVIF: rb".{4}ftyp(?:avi[fs]|.{8}(?:.{4}){0,30}?avi[fs])",
    Kind.HEIC: rb".{4}ftyp(?:he[iv][cxms]|m[is]f1|.{8}(?:.{4}){0,30}?(?:he[iv][cxms]|m[is]f1))",
}
_XML = rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)\s*+)*+"
"""What may stand before the root element; atomic, so that no text makes the search go back."""
_OTHERS = {
    "a PDF document": rb".{0,1024}?%PDF-",
    "an SVG drawing": _XML + rb"<(?:\w+:)?svg\b|\s*<!DOCTYPE svg",
    "an HTML page": rb"\s*<!DOCTYPE html|" + _XML + rb"<(?:html|head|body|script)\b",
    "a JPEG XL image": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "a WebM or Matroska video": rb"\x1a\x45\xdf\xa3",
    "a Canon raw image": rb".{4}ftypcrx ",
    "a QuickTime video": rb".{4}(?:ftypqt  |moov|mdat|wide|free|skip|pnot)",
    "an MP4 video": rb".{4}ftyp",
    "a sound file": rb"ID3|OggS|fLaC|RIFF.{4}WAVE|\xff[\xf1\xf3\xf9\xfb]",
    "a ZIP archive": rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
    "a JSON document": rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*["}]|\[\s*[\[{"\d\]])',
    "base64 text, not the image itself": rb"data:image|/9j/4|iVBORw0K|R0lGOD|UklGR",
    # Control characters, and bytes that no UTF-8 has.
    "a file of an unknown kind": rb".{0,4095}?[\0-\x08\x0e-\x1a\xc0\xc1\xf5-\xff]",
    "plain text": rb"",
}


def sniff(head: bytes) -> Kind:
    """Return the format of a file that begins like this, or raise `ImageTypeUnsupported`."""
    for kind, signature in _KINDS.items():
        if re.match(signature, head, re.DOTALL):
            return kind
    others = (what for what, it in _OTHERS.items() if re.match(it, head, re.DOTALL | re.IGNORECASE))
    accepted = ", ".join(kind.value for kind in Kind)
    raise ImageTypeUnsupported(f"This is {next(others)}; accepted are {accepted}.")
