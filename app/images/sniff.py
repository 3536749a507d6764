"""What a file is, told by its first bytes; its name and its declared type are never asked."""

import codecs
import re
from enum import Enum

from app.errors import ImageTypeUnsupported

HEAD_BYTES = 4096
"""Enough for every signature, and for the comments that may come before `<svg` or `<html`."""


class Kind(Enum):
    """A format that is taken in, by its usual name."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"
    HEIC = "HEIC"
    AVIF = "AVIF"


ACCEPTED = ", ".join(kind.value for kind in Kind)

_TAKEN = (
    (Kind.JPEG, re.compile(rb"\xff\xd8\xff")),
    (Kind.PNG, re.compile(rb"\x89PNG\r\n\x1a\n")),
    (Kind.WEBP, re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    (Kind.GIF, re.compile(rb"GIF8[79]a")),
    (Kind.TIFF, re.compile(rb"II[*+]\0|MM\0[*+]")),
    # The header's own length tells a bitmap from a text that begins with "BM".
    (Kind.BMP, re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
)

_XML = rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)\s*+)*+"
"""What may come before the root element. Atomic, so that no text makes the search go back."""

_REFUSED = (
    ("a PDF document", re.compile(rb".{0,1024}?%PDF-", re.DOTALL)),
    ("an SVG drawing", re.compile(_XML + rb"<(?:\w+:)?svg\b", re.DOTALL | re.IGNORECASE)),
    ("an SVG drawing", re.compile(rb"\s*<!DOCTYPE svg", re.IGNORECASE)),
    (
        "an HTML page",
        re.compile(
            rb"\s*<!DOCTYPE html|" + _XML + rb"<(?:html|head|body|script)\b",
            re.DOTALL | re.IGNORECASE,
        ),
    ),
    ("an XML document", re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml")),
    ("a JPEG 2000 image", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("a JPEG XL image", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("a Photoshop document", re.compile(rb"8BPS")),
    ("a GIMP document", re.compile(rb"gimp xcf")),
    ("an icon file", re.compile(rb"\0\0[\x01\x02]\0.\0|icns", re.DOTALL)),
    ("a PostScript document", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a WebM or Matroska video", re.compile(rb"\x1a\x45\xdf\xa3")),
    ("an AVI video", re.compile(rb"RIFF.{4}AVI ", re.DOTALL)),
    ("a QuickTime video", re.compile(rb".{4}(?:moov|mdat|wide|free|skip|pnot)", re.DOTALL)),
    ("an MPEG video", re.compile(rb"\0\0\x01[\xb3\xba]|\x47.{187}\x47", re.DOTALL)),
    ("a sound file", re.compile(rb"ID3|OggS|fLaC|RIFF.{4}WAVE|\xff[\xf1\xf3\xf9\xfb]", re.DOTALL)),
    ("a ZIP archive", re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)")),
    (
        "a compressed archive",
        re.compile(rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ|\x28\xb5\x2f\xfd"),
    ),
    ("a program", re.compile(rb"MZ|\x7fELF|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe")),
    ("a JSON document", re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*["}]|\[\s*[\[{"\d\]])')),
    (
        "base64 text, not the image itself",
        re.compile(rb"(?:data:image|/9j/4|iVBORw0K|R0lGOD|UklGR)"),
    ),
)

_HEIC_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_AVIF_BRANDS = frozenset((b"avif", b"avis"))


def sniff(head: bytes) -> Kind:
    """The format of a file, from its first `HEAD_BYTES` bytes (or all of it, when shorter).

    Raises:
        ImageTypeUnsupported: With what the file is, and what is accepted.
    """
    for kind, signature in _TAKEN:
        if signature.match(head):
            return kind
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    for name, signature in _REFUSED:
        if signature.match(head):
            raise _refusal(name)
    raise _refusal("plain text" if _is_text(head) else "a file of an unknown kind")


def _by_brand(head: bytes) -> Kind:
    """Tell the ISO base media files apart (ISO 14496-12 §4.3): a major brand, a version, others."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    brands = {major, *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return Kind.AVIF
    if brands & _HEIC_BRANDS:
        return Kind.HEIC
    if major == b"crx ":
        raise _refusal("a Canon raw image")
    raise _refusal("a QuickTime video" if major == b"qt  " else "an MP4 video")


def _is_text(head: bytes) -> bool:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    try:
        # A character may be cut at the end of the head.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not re.search(rb"[\x00-\x08\x0e-\x1a]", head)


def _refusal(what: str) -> ImageTypeUnsupported:
    return ImageTypeUnsupported(f"This is {what}; accepted are {ACCEPTED}.")
