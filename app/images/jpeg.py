"""The walk along a JPEG's segments (ITU-T T.81 Annex B), past all about the sender."""

import re

from app.errors import ImageUnreadable
from app.images.structure import PARTS_MAX, SAMPLE_BITS, Parts, Structure, read_orientation

FILL, EOI, SOS = 0xFF, 0xD9, 0xDA
PROGRESSIVE = 0xC2
PROGRESSIVE_FRAMES = frozenset((PROGRESSIVE, 0xCA))
"""Of Huffman codes, and arithmetic ones."""

COMMON_FRAMES = frozenset((0xC0, 0xC1, PROGRESSIVE))
"""Baseline, extended and progressive Huffman frames: what every decoder reads."""

FRAME_BYTES = 6
"""Precision, height, width and the number of channels; three bytes for each of them follow."""

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
DHT, DQT, DRI = 0xC4, 0xDB, 0xDD
COMMON_TABLES = frozenset((DHT, DQT, DRI))

APP0, APP1, APP2, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
JFIF, JFIF_BYTES = b"JFIF\0", 18
ADOBE, ADOBE_BYTES = b"Adobe", 16
EXIF = b"Exif\0\0"
ICC = b"ICC_PROFILE\0"

SCANS_MAX = 64
"""Encoders make up to 14. Each one more makes a decoder pass over the whole picture again."""

SCAN_STEP_BYTES = 1 << 20
"""A search holds the interpreter's lock, so it is done in steps of about a millisecond."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan, FF 00 is data, FF D0 to FF D7 are restarts and FF FF is filling (§B.1.1.2)."""


def walk(data: memoryview) -> Structure:
    """The structure of a JPEG; not `sound` where only a decoder can tell what it is worth.

    Raises:
        ImageUnreadable: Damaged before its picture begins, or made to cost time.
    """
    state = _Walk(data)
    at = 2
    for _ in range(PARTS_MAX):
        at = state.marker(at)
        marker = data[at + 1] if at + 1 < len(data) else None
        if marker is None or marker == EOI:
            break
        at = state.segment(marker, at)
    else:
        raise ImageUnreadable(f"This JPEG consists of more than {PARTS_MAX} segments.")
    return state.result(at, complete=marker == EOI)


class _Walk:
    """The state of one walk: what has been kept and learned so far."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.parts = Parts(data)
        self.parts.keep(0, 2)
        self.frame = b""
        self.stores_all = False
        self.exif: bytes | None = None
        self.icc: list[bytes] = []
        self.scans = 0
        self.sound = True

    def marker(self, at: int) -> int:
        """Where the next marker stands: here, or behind filling and junk, which is left out."""
        data, end = self.data, len(self.data)
        if at + 1 < end and data[at] == FILL and data[at + 1] not in (0, FILL):
            return at
        return next_marker(data, at)

    def segment(self, marker: int, at: int) -> int:
        """Take one segment in, and its scan where it opens one; the place behind it."""
        data = self.data
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(data):
            if not self.scans:
                raise ImageUnreadable("This JPEG is damaged or cut off before its picture begins.")
            self.sound = False
            return len(data)
        if APP0 <= marker <= APP15 or marker == COM:
            self._application(marker, at, end)
            return end
        if marker in FRAMES:
            self._frame(marker, data[at + 4 : end])
        elif marker == SOS:
            end = self._scan(at, end)
        elif marker not in COMMON_TABLES:
            self.sound = False
        self.parts.keep(at, end)
        return end

    def _frame(self, marker: int, body: memoryview) -> None:
        whole = len(body) > FRAME_BYTES and len(body) == FRAME_BYTES + 3 * body[5]
        if self.frame or not whole:
            raise ImageUnreadable("This JPEG's frame header is damaged.")
        self.frame = bytes(body)
        self.stores_all = marker in PROGRESSIVE_FRAMES
        self.sound = self.sound and marker in COMMON_FRAMES

    def _scan(self, header: int, at: int) -> int:
        self.scans += 1
        if not self.frame:
            raise ImageUnreadable("This JPEG has no frame header before its picture.")
        if at <= header + 4:
            raise ImageUnreadable("This JPEG has a scan that says nothing.")
        # Other components are to follow.
        self.stores_all = self.stores_all or self.data[header + 4] < self.frame[5]
        if self.scans > SCANS_MAX:
            raise ImageUnreadable(f"This JPEG consists of more than {SCANS_MAX} scans.")
        return next_marker(self.data, at)

    def _application(self, marker: int, at: int, end: int) -> None:
        body = self.data[at + 4 : end]
        jfif = marker == APP0 and body[:5] == JFIF
        adobe = marker == APP14 and body[:5] == ADOBE
        if (jfif and end - at == JFIF_BYTES) or (adobe and end - at == ADOBE_BYTES):
            self.parts.keep(at, end)
        elif jfif or adobe:
            # They also tell YCbCr from RGB, and something is hidden in this one.
            self.sound = False
        elif marker == APP1 and body[:6] == EXIF and self.exif is None:
            self.exif = bytes(body[6:])
        elif marker == APP2 and body[:12] == ICC:
            self.icc.append(bytes(body[12:]))

    def result(self, end: int, *, complete: bool) -> Structure:
        if not self.scans:
            raise ImageUnreadable("This JPEG ends before its picture begins.")
        if complete:
            self.parts.keep(end, end + 2)
        bits, channels = self.frame[0], self.frame[5]
        height = int.from_bytes(self.frame[1:3], "big")
        width = int.from_bytes(self.frame[3:5], "big")
        return Structure(
            size=(width, height),
            parts=self.parts.views(),
            sound=self.sound and complete and bits == SAMPLE_BITS and channels in (1, 3),
            orientation=read_orientation(self.exif),
            icc=b"".join(part[2:] for part in sorted(self.icc)) or None,
            coefficients_bytes=self._coefficients_bytes(width * height),
        )

    def _coefficients_bytes(self, pixels: int) -> int:
        """A picture of several scans is decoded once it is complete; till then, two bytes a sample.

        That is one that is progressive, or whose components come one after the other.
        """
        if not self.stores_all:
            return 0
        samplings = [((code >> 4) or 1, (code & 15) or 1) for code in self.frame[7::3]]
        most = max(h for h, _ in samplings) * max(v for _, v in samplings)
        return 2 * pixels * sum(h * v for h, v in samplings) // most


def next_marker(data: memoryview, at: int) -> int:
    """Where the next marker stands that is no restart, or the end of the data."""
    while at < len(data):
        # One byte of overlap: a marker may lie across the step.
        found = _MARKER.search(data, at, at + SCAN_STEP_BYTES + 1)
        if found:
            return found.start()
        at += SCAN_STEP_BYTES
    return len(data)
