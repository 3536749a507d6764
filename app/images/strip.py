"""The parts of a JPEG or PNG that are the picture, found without decoding it.

What is whole, small and plain goes upstream as these parts: its pixels untouched, everything about
the sender cut out. Scans, segments and chunks are counted, since a decoder pays for each.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.errors import ImageTooComplex, ImageUnreadable

PARTS_MAX = 65_536
"""Most segments or chunks of one file."""

SCANS_MAX = 64
"""Encoders write up to 14; for each one more a decoder passes over the whole picture again."""

PLAIN_BITS = 8
ORIENTATION, SHORT = 0x0112, 3
"""The EXIF tag and its type (Exif 2.32 §4.6.4); 1 is upright."""

SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")
"""How profiles of versions 2 and 4 name themselves."""

FILL, SOI, EOI, SOS, DNL = 0xFF, 0xD8, 0xD9, 0xDA, 0xDC
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PLAIN_FRAMES, PROGRESSIVE = frozenset((0xC0, 0xC1, 0xC2)), frozenset((0xC2, 0xC6, 0xCA, 0xCE))
TABLES = frozenset((0xC4, 0xDB, 0xDD))
"""Huffman codes, quantisation, restart interval."""

ARITHMETIC_TABLE, APP0, APP1, APP2, APP14, APP15, COM = 0xCC, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
JFIF, JFIF_BYTES, ADOBE, ADOBE_BYTES = b"JFIF\0", 14, b"Adobe", 12
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
FRAME_BYTES = 6
"""Bits, height, width and the number of components; three bytes for each of these follow."""

STEP_BYTES = 1 << 20
"""A search holds the interpreter's lock, so it is done in steps of about a millisecond."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan FF 00 is data, FF D0 to FF D7 are restarts and FF FF is filling (T.81 §B.1.1.2)."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
RENDERING = frozenset((b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"cICP"))
"""Say how the samples are shown, nothing of who took them."""

RENDERING_MAX_BYTES = 32
"""The longest of them is cHRM; a longer one hides something."""

ICC_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Stripped:
    """A picture's size in pixels, and its parts without metadata.

    `plain` says that every decoder shows it alike: whole, upright, sRGB, 8 bits a sample, and of a
    JPEG grey or three components.
    """

    size: tuple[int, int]
    parts: tuple[memoryview, ...]
    plain: bool


def strip_jpeg(data: memoryview) -> Stripped:
    """Walk a JPEG's segments (ITU-T T.81 Annex B).

    Raises:
        ImageUnreadable: It is damaged, or a scan ends at a marker that does not belong there.
        ImageTooComplex: It has more segments or scans than any encoder writes.
    """
    picture = _Jpeg(data)
    for marker, start, end in _segments(data):
        picture.add(marker, start, end)
    return picture.stripped()


def _segments(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment up to EOI; what a scan is made of belongs to its SOS.

    Junk before the first scan is passed over; behind it, it is a picture with a hole.
    """
    at, in_picture = 2, False
    for _ in range(PARTS_MAX):
        start = _next_marker(data, at)
        if in_picture and any(byte != FILL for byte in data[at:start]):
            raise _damaged("JPEG")
        if start + 1 >= len(data):
            return
        marker = data[start + 1]
        end = start + 2
        if marker != EOI:
            end += int.from_bytes(data[start + 2 : start + 4], "big")
            if not start + 4 <= end <= len(data):
                raise _damaged("JPEG")
        if marker == SOS:
            end, in_picture = _next_marker(data, end), True
        yield marker, start, end
        if marker == EOI:
            return
        at = end
    raise ImageTooComplex(f"This JPEG consists of more than {PARTS_MAX} segments.")


def _next_marker(data: memoryview, at: int) -> int:
    """Where the next marker begins that is no restart, or the end of the data."""
    if data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"", b"\0", b"\xff"):
        return at
    while at < len(data):
        # One byte of overlap: a marker may lie across two steps.
        if found := _MARKER.search(data, at, at + STEP_BYTES + 1):
            return found.start()
        at += STEP_BYTES
    return len(data)


class _Jpeg:
    """What was found so far."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._kept = [(0, 2)]
        self._frame = b""
        self._progressive = False
        self._scans = self._components_seen = 0
        self._icc: list[bytes] = []
        self._orientation: int | None = None
        self._plain = True
        self._complete = False

    def add(self, marker: int, start: int, end: int) -> None:
        """Take one segment in."""
        body = self._data[start + 4 : end]
        if self._all_seen and marker not in (EOI, DNL):
            raise _damaged("JPEG")
        if APP0 <= marker <= APP15 or marker == COM:
            if not self._application(marker, body):
                return
        elif marker in FRAMES:
            self._start_frame(marker, body)
        elif marker == SOS:
            self._scan(body)
        elif marker == EOI:
            self._complete = True
        elif marker not in TABLES:
            self._plain = False
            if self._scans and marker not in (ARITHMETIC_TABLE, DNL):
                raise _damaged("JPEG")
        self._kept.append((start, end))

    @property
    def _all_seen(self) -> bool:
        """A sequential picture has each component in one scan; then it ends."""
        return bool(self._frame) and not self._progressive and self._components_seen >= self._count

    @property
    def _count(self) -> int:
        return self._frame[5]

    def _start_frame(self, marker: int, body: memoryview) -> None:
        whole = len(body) > FRAME_BYTES and len(body) == FRAME_BYTES + 3 * body[5]
        if self._frame or not whole:
            raise _damaged("JPEG")
        self._frame = bytes(body)
        self._progressive = marker in PROGRESSIVE
        self._plain = self._plain and marker in PLAIN_FRAMES

    def _scan(self, body: memoryview) -> None:
        if not self._frame or not body:
            raise _damaged("JPEG")
        self._scans += 1
        self._components_seen += body[0]
        if self._scans > SCANS_MAX:
            raise ImageTooComplex(f"This JPEG consists of more than {SCANS_MAX} scans.")

    def _application(self, marker: int, body: memoryview) -> bool:
        """Whether it is kept: only what tells YCbCr from RGB, and has no room for more."""
        jfif = marker == APP0 and body[:5] == JFIF
        adobe = marker == APP14 and body[:5] == ADOBE
        if jfif or adobe:
            fits = len(body) == (JFIF_BYTES if jfif else ADOBE_BYTES)
            self._plain = self._plain and fits
            return fits
        if marker == APP1 and body[:6] == EXIF and self._orientation is None:
            self._orientation = read_orientation(bytes(body[6:]))
        elif marker == APP2 and body[:12] == ICC:
            self._icc.append(bytes(body[12:]))
        return False

    def stripped(self) -> Stripped:
        """Sum up."""
        if not self._scans:
            raise _damaged("JPEG")
        height, width = (int.from_bytes(self._frame[at : at + 2], "big") for at in (1, 3))
        icc = b"".join(part[2:] for part in sorted(self._icc))
        plain = (
            self._plain
            and self._complete
            and self._frame[0] == PLAIN_BITS
            and self._count in (1, 3)
            and self._orientation in (None, 1)
            and _is_srgb(icc)
        )
        return Stripped((width, height), _views(self._data, self._kept), plain)


def strip_png(data: memoryview) -> Stripped | None:
    """Walk a PNG's chunks (W3C PNG, third edition, §5); `None` where a decoder must judge.

    Raises:
        ImageUnreadable: It is cut off.
        ImageTooComplex: It has more chunks than any encoder writes.
    """
    if bytes(data[:16]) != PNG_SIGNATURE + b"\0\0\0\x0dIHDR":
        return None
    kept, seen, plain = [(0, len(PNG_SIGNATURE))], set(), data[24] <= PLAIN_BITS
    for kind, start, end in _chunks(data):
        body = data[start + 8 : end - 4]
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        if kind in PIXELS or (kind in RENDERING and len(body) <= RENDERING_MAX_BYTES):
            kept.append((start, end))
        elif kind == b"eXIf":
            plain = plain and read_orientation(bytes(body)) == 1
        elif kind == b"iCCP":
            plain = plain and _is_srgb(_profile(body))
        elif not kind[0] & 0x20:
            return None  # A critical chunk of an unknown kind (§5.4).
        seen.add(kind)
    if b"IDAT" not in seen:
        return None
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return Stripped((width, height), _views(data, kept), plain)


def _chunks(data: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk up to IEND."""
    at = len(PNG_SIGNATURE)
    for _ in range(PARTS_MAX):
        kind = bytes(data[at + 4 : at + 8])
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise _damaged("PNG")
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise ImageTooComplex(f"This PNG consists of more than {PARTS_MAX} chunks.")


def _profile(body: memoryview) -> bytes:
    """The ICC profile inside an iCCP chunk (§11.3.2.3): name, zero, method, deflated profile."""
    packed = bytes(body).partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, ICC_MAX_BYTES)
    except zlib.error:
        return b""


def _is_srgb(icc: bytes) -> bool:
    return not icc or any(name in icc for name in SRGB_NAMES)


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block names; 1 where it names none."""
    tiff = exif.removeprefix(EXIF)
    order: Literal["little", "big"] = "little" if tiff[:4] == b"II*\0" else "big"
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 1

    def number(at: int, n_bytes: int) -> int:
        return int.from_bytes(tiff[at : at + n_bytes], order)

    first = number(4, 4) + 2
    for at in range(first, min(first + 12 * number(first - 2, 2), len(tiff)), 12):
        if number(at, 2) == ORIENTATION and number(at + 2, 2) == SHORT:
            found = number(at + 8, 2)
            return found if 1 <= found <= 8 else 1  # noqa: PLR2004 - the eight orientations
    return 1


def _views(data: memoryview, ranges: list[tuple[int, int]]) -> tuple[memoryview, ...]:
    """Cut the ranges out; neighbours become one."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        begin = joined.pop()[0] if joined and joined[-1][1] == start else start
        joined.append((begin, end))
    return tuple(data[start:end] for start, end in joined)


def _damaged(kind: str) -> ImageUnreadable:
    return ImageUnreadable(f"This {kind} file is cut off or damaged.")
