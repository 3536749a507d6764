"""The parts of a JPEG or PNG that are its picture, found without decoding it.

What is whole and plain goes upstream as these parts: pixels untouched, all about the sender cut
out. Scans, segments and chunks are counted, since a decoder pays for each.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import ImageTooComplex, ImageUnreadable

PARTS_MAX = 65_536
"""Most segments or chunks."""
SCANS_MAX = 64
"""Encoders write up to 14."""
BITS, ICC_MAX_BYTES = 8, 1 << 20
SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")
"""As profiles of versions 2 and 4 call themselves."""
STEP_BYTES = 1 << 20
"""A search holds the interpreter's lock, so it is done in steps of about a millisecond."""

EOI, SOS, DNL, COM = 0xD9, 0xDA, 0xDC, 0xFE
APP0, APP1, APP2, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PLAIN_FRAMES, PROGRESSIVE_FRAMES = {0xC0, 0xC1, 0xC2}, {0xC2, 0xC6, 0xCA, 0xCE}
PLAIN_TABLES, OTHER_TABLES = {0xC4, 0xDB, 0xDD}, {0xCC, DNL}
"""Huffman codes, quantisation, restarts; arithmetic codes, number of lines."""
BETWEEN_SCANS = PLAIN_TABLES | OTHER_TABLES | {EOI, SOS, COM, *range(APP0, APP15 + 1)}
COLOUR_MODELS = {(b"JFIF\0", 14), (b"Adobe", 12)}
"""Application segments that tell YCbCr from RGB: how they begin, and their length."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan FF 00 is data, FF D0 to FF D7 are restarts, FF FF is filling (T.81 §B.1.1.2)."""
_TURNED = re.compile(
    rb"\x12\x01[\x03\x04]\0\x01\0\0\0(?!\x01\0)|\x01\x12\0[\x03\x04]\0\0\0\x01(?!\0\x01|\0\0\0\x01)"
)
"""The EXIF orientation (Exif 2.32 §4.6.4), in either byte order, where it is not 1."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
RENDERING = {b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"cICP"}
"""Chunks that say how samples are shown; the longest is cHRM, a longer one hides something."""
RENDERING_MAX_BYTES = 32


@dataclass(slots=True)
class Stripped:
    """What the walk along a file found.

    `plain` says that every decoder shows the parts alike: whole, upright, in sRGB, of 8 bits, and
    of a JPEG grey or three components.
    """

    file: memoryview
    kept: list[tuple[int, int]]
    size: tuple[int, int] = (0, 0)
    plain: bool = True
    icc: bytes = b""

    @property
    def parts(self) -> list[memoryview]:
        """The pieces of the file that are its picture."""
        return [self.file[start:end] for start, end in self.kept]

    def keep(self, start: int, end: int) -> None:
        """Add a piece; neighbours become one."""
        joined = self.kept[-1][1] == start
        self.kept.append((self.kept.pop()[0] if joined else start, end))

    def check_icc(self) -> None:
        """It is not plain in another colour space."""
        self.plain &= not self.icc or any(name in self.icc for name in SRGB_NAMES)


def strip_jpeg(file: memoryview) -> Stripped:
    """Walk along a JPEG's segments (ITU-T T.81 Annex B).

    Raises:
        ImageUnreadable: It is damaged, or a scan ends at a marker that does not belong there.
        ImageTooComplex: It has more segments or scans than any encoder writes.
    """
    found = Stripped(file, [(0, 2)])
    kind = marker = scans = missing = 0
    for marker, start, end in _segments(file):
        body = file[start + 4 : end]
        # When each component of a sequential picture has had its scan, the picture ends.
        if scans and missing <= 0 and kind not in PROGRESSIVE_FRAMES and marker not in (EOI, DNL):
            raise _damaged("JPEG")
        if APP0 <= marker <= APP15 or marker == COM:
            if not _application(found, marker, bytes(body)):
                continue
        elif marker in FRAMES:
            missing = 0 if kind else _frame(found, marker, body)
            kind = marker if missing else 0
        elif marker == SOS:
            scans, missing = scans + 1, missing - sum(body[:1])
            if scans > SCANS_MAX:
                raise ImageTooComplex(f"This JPEG consists of more than {SCANS_MAX} scans.")
        found.plain &= marker not in OTHER_TABLES
        if not kind and (marker == SOS or marker in FRAMES):
            raise _damaged("JPEG")
        found.keep(start, end)
    if not scans:
        raise _damaged("JPEG")
    found.plain &= marker == EOI
    found.check_icc()
    return found


def _frame(found: Stripped, marker: int, body: memoryview) -> int:
    """Read a frame's header (§B.2.2): bits, height, width, number of components; return that."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:  # noqa: PLR2004 - as above
        return 0
    found.size = (_number(body[3:5]), _number(body[1:3]))
    found.plain &= marker in PLAIN_FRAMES and body[0] == BITS and body[5] in (1, 3)
    return body[5]


def _application(found: Stripped, marker: int, body: bytes) -> bool:
    """Note what it says of the picture; whether it is kept."""
    if marker in (APP0, APP14):
        kept = (body[:5], len(body)) in COLOUR_MODELS
        found.plain &= kept
        return kept
    if marker == APP1 and _TURNED.search(body):
        found.plain = False
    elif marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
        found.icc += body
    return False


def _segments(file: memoryview) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment up to EOI; a scan's data belong to its SOS.

    Junk before the first scan is passed over; behind it, it was a part of the picture.
    """
    at, in_picture = 2, False
    for _ in range(PARTS_MAX):
        start = _next_marker(file, at)
        if in_picture and bytes(file[at:start]).strip(b"\xff"):
            raise _damaged("JPEG")
        if start + 1 >= len(file):
            return
        marker, end = file[start + 1], start + 2
        if in_picture and marker not in BETWEEN_SCANS:
            raise _damaged("JPEG")
        if marker == EOI:
            yield marker, start, end
            return
        end += _number(file[end : end + 2])
        if not start + 4 <= end <= len(file):
            raise _damaged("JPEG")
        if marker == SOS:
            in_picture, end = True, _next_marker(file, end)
        yield marker, start, end
        at = end
    raise ImageTooComplex(f"This JPEG consists of more than {PARTS_MAX} segments.")


def _next_marker(file: memoryview, at: int) -> int:
    """Where the next marker begins that is no restart, or the end of the file."""
    for step in range(at, len(file), STEP_BYTES):
        # One byte of overlap: a marker may lie across two steps.
        if found := _MARKER.search(file, step, step + STEP_BYTES + 1):
            return found.start()
    return len(file)


def strip_png(file: memoryview) -> Stripped | None:
    """Walk along a PNG's chunks (W3C PNG, third edition, §5); `None` where a decoder must judge.

    Raises:
        ImageUnreadable: It is cut off.
        ImageTooComplex: It has more chunks than any encoder writes.
    """
    if file[:16] != SIGNATURE + b"\0\0\0\x0dIHDR":
        return None
    found, seen = Stripped(file, [(0, len(SIGNATURE))]), set()
    for kind, start, end in _chunks(file):
        body = file[start + 8 : end - 4]
        if zlib.crc32(file[start + 4 : end - 4]) != _number(file[end - 4 : end]):
            return None
        if kind in PIXELS or (kind in RENDERING and len(body) <= RENDERING_MAX_BYTES):
            found.keep(start, end)
        elif kind == b"eXIf":
            found.plain &= not _TURNED.search(body)
        elif kind == b"iCCP":
            found.icc += _inflated(bytes(body).partition(b"\0")[2][1:])
        elif not kind[0] & 0x20:
            return None  # A critical chunk of an unknown kind (§5.4).
        seen.add(kind)
    found.size = (_number(file[16:20]), _number(file[20:24]))
    found.plain &= file[24] <= BITS and b"IDAT" in seen
    found.check_icc()
    return found


def _chunks(file: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk up to IEND."""
    at = len(SIGNATURE)
    for _ in range(PARTS_MAX):
        kind, end = bytes(file[at + 4 : at + 8]), at + 12 + _number(file[at : at + 4])
        if end > len(file):
            raise _damaged("PNG")
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
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
