"""The parts of a JPEG or PNG that are its picture, found without decoding it.

What is whole and plain goes upstream as these parts: pixels untouched, all about the sender cut
out. Scans, segments and chunks are counted, since a decoder pays for each.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import ImageTooComplex, ImageUnreadable

PARTS_MAX, SCANS_MAX = 65_536, 64
"""Segments or chunks; encoders write up to 14 scans."""
BITS, ICC_MAX_BYTES, STEP_BYTES = 8, 1 << 20, 1 << 20
SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")
"""As profiles of versions 2 and 4 call themselves."""

EOI, SOS, APP0, APP1, APP2, APP14, COM = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PLAIN_FRAMES, OTHER_TABLES = {0xC0, 0xC1, 0xC2}, {0xCC, 0xDC}
BETWEEN_SCANS = {0xC4, 0xDB, 0xDD, EOI, SOS, COM, *OTHER_TABLES, *range(APP0, APP0 + 16)}
COLOUR_MODELS = {(b"JFIF\0", 14), (b"Adobe", 12)}
"""Application segments that tell YCbCr from RGB: how they begin, and their length."""
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan FF 00 is data, FF D0 to FF D7 are restarts, FF FF is filling (T.81 §B.1.1.2)."""
_TURNED = re.compile(
    rb"\x12\x01[\x03\x04]\0\x01\0\0\0(?!\x01\0)|"
    rb"\x01\x12\0[\x03\x04]\0\0\0\x01(?!\0\x01|\0\0\0\x01)"
)
"""The EXIF orientation (Exif 2.32 §4.6.4), in either byte order, where it is not 1."""

PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
RENDERING, RENDERING_MAX_BYTES = {b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"cICP"}, 32
"""Chunks that say how samples are shown. cHRM has 32 bytes; a longer one hides something."""


@dataclass(slots=True)
class Stripped:
    """What the walk along a file found: the parts that are its picture, and the size in pixels.

    `plain`: every decoder shows them alike. The file is whole, upright, in sRGB, of 8 bits a
    sample, and a JPEG has one or three components.
    """

    parts: list[memoryview]
    size: tuple[int, int] = (0, 0)
    plain: bool = True
    icc: bytes = b""

    def ended(self, *, whole: bool) -> "Stripped":
        """Judge by what only the end shows."""
        in_srgb = not self.icc or any(name in self.icc for name in SRGB_NAMES)
        self.plain = self.plain and whole and in_srgb
        return self


def strip_jpeg(file: memoryview) -> Stripped:
    """Walk along a JPEG's segments (ITU-T T.81 Annex B).

    Raises `ImageUnreadable` where it is damaged, or a scan ends at a marker that does not belong
    there; `ImageTooComplex` for more segments or scans than any encoder writes.
    """
    found, marker, scans = Stripped([file[:2]]), 0, 0
    for marker, start, end in _segments(file):
        body = file[start + 4 : end]
        if marker in FRAMES:  # Bits, height, width, number of components (§B.2.2).
            if found.size != (0, 0) or len(body) < 6 or len(body) != 6 + 3 * body[5]:  # noqa: PLR2004
                raise _damaged("JPEG")
            found.size = (_number(body[3:5]), _number(body[1:3]))
            found.plain &= marker in PLAIN_FRAMES and body[0] == BITS and body[5] in (1, 3)
        scans += marker == SOS
        if scans > SCANS_MAX:
            raise ImageTooComplex(f"This JPEG consists of more than {SCANS_MAX} scans.")
        if marker < APP0 or _application(found, marker, bytes(body)):
            found.plain &= marker not in OTHER_TABLES
            found.parts.append(file[start:end])
    if not scans or found.size == (0, 0):
        raise _damaged("JPEG")
    return found.ended(whole=marker == EOI)


def _application(found: Stripped, marker: int, body: bytes) -> bool:
    """Note what it says of the picture; whether it is kept."""
    if marker in (APP0, APP14):
        kept = (body[:5], len(body)) in COLOUR_MODELS
        found.plain &= kept
        return kept
    if marker == APP1 and _TURNED.search(body):
        found.plain = False
    if marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
        found.icc += body
    return False


def _segments(file: memoryview) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment up to EOI; a scan's data belong to its SOS.

    Junk before the first scan is passed over; behind it, it was a part of the picture.
    """
    at, in_picture, marker = 2, False, 0
    for _ in range(PARTS_MAX):
        start = _next_marker(file, at)
        if marker == EOI or start + 1 >= len(file):
            return
        marker = file[start + 1]
        end = start + 2 + (0 if marker == EOI else _number(file[start + 2 : start + 4]))
        junk = bytes(file[at:start]).strip(b"\xff") or marker not in BETWEEN_SCANS
        if end > len(file) or (in_picture and junk):
            raise _damaged("JPEG")
        if marker == SOS:
            in_picture, end = True, _next_marker(file, end)
        yield marker, start, end
        at = end
    raise ImageTooComplex(f"This JPEG consists of more than {PARTS_MAX} segments.")


def _next_marker(file: memoryview, at: int) -> int:
    """Where the next marker begins that is no restart, or the end of the file."""
    for step in range(at, len(file), STEP_BYTES):
        # In steps, since a search keeps other threads waiting; a marker may lie across two.
        if found := _MARKER.search(file, step, step + STEP_BYTES + 1):
            return found.start()
    return len(file)


def strip_png(file: memoryview) -> Stripped | None:
    """Walk along a PNG's chunks (W3C PNG, third edition, §5); `None` where a decoder must judge.

    Raises `ImageUnreadable` where it is cut off, `ImageTooComplex` for too many chunks.
    """
    if file[: len(PNG_HEAD)] != PNG_HEAD:
        return None
    found, at, kind, has_pixels = Stripped([file[:8]]), 8, b"", False
    for _ in range(PARTS_MAX):
        kind, end = bytes(file[at + 4 : at + 8]), at + 12 + _number(file[at : at + 4])
        body, checksum = file[at + 8 : end - 4], file[end - 4 : end]
        if end > len(file):
            raise _damaged("PNG")
        known = kind in PIXELS or kind[0] & 0x20  # Or else a decoder must know it (§5.4).
        if not known or zlib.crc32(body, zlib.crc32(kind)) != _number(checksum):
            return None
        if kind in PIXELS or (kind in RENDERING and len(body) <= RENDERING_MAX_BYTES):
            found.parts.append(file[at:end])
        elif kind == b"eXIf":
            found.plain &= not _TURNED.search(body)
        elif kind == b"iCCP":
            found.icc = _inflated(bytes(body).partition(b"\0")[2][1:])
        at, has_pixels = end, has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            found.size = (_number(file[16:20]), _number(file[20:24]))
            return found.ended(whole=has_pixels and file[24] <= BITS)
    raise ImageTooComplex(f"This PNG consists of more than {PARTS_MAX} chunks.")


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, ICC_MAX_BYTES)
    except zlib.error:
        return b""


def _number(big_endian: memoryview) -> int:
    return int.from_bytes(big_endian, "big")


def _damaged(kind: str) -> ImageUnreadable:
    return ImageUnreadable(f"This {kind} file is cut off or damaged.")
