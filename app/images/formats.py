"""What a file is, by its bytes alone: its format, and which parts of it are the picture.

Nothing is decoded. A JPEG or PNG that is whole and plain goes upstream as its parts: pixels
untouched, all about the sender cut out. Scans, segments and chunks are counted: each costs time.
"""

import contextlib
import re
import zlib
from collections.abc import Iterator

from app.errors import ImageTooComplex, ImageTypeUnsupported, ImageUnreadable

HEAD_BYTES = 4_096  # Enough for every signature, and for comments before `<svg` or `<html`.
ACCEPTED = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    # The length of its header tells a bitmap from a text that begins with "BM".
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "AVIF": rb".{4}ftyp(?:avi[fs]|.{8}(?:.{4}){0,30}?avi[fs])",
    "HEIC": rb".{4}ftyp(?:he[iv][cxms]|m[is]f1|.{8}(?:.{4}){0,30}?(?:he[iv][cxms]|m[is]f1))",
}
# What may stand before the root element; atomic, so that no text makes the search go back.
XML = rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)\s*+)*+"
OTHERS = {
    "a PDF document": rb".{0,1024}?%PDF-",
    "an SVG drawing": XML + rb"<(?:\w+:)?svg\b|\s*<!DOCTYPE svg",
    "an HTML page": rb"\s*<!DOCTYPE html|" + XML + rb"<(?:html|head|body|script)\b",
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

PARTS_MAX, SCANS_MAX = 65_536, 64  # Segments, chunks or boxes; encoders write up to 14 scans.
DAMAGED = "This file is cut off or damaged."
BITS, ICC_MAX_BYTES, STEP_BYTES = 8, 1 << 20, 1 << 20
SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")  # As profiles of versions 2 and 4 call themselves.

EOI, SOS, APP0, APP1, APP2, APP14 = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PLAIN = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, SOS, EOI}  # Huffman frames and tables, restarts.
COLOUR_MODELS = {(APP0, b"JFIF\0", 14), (APP14, b"Adobe", 12)}  # Segments that tell YCbCr from RGB.
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan FF 00 is data, FF D0 to FF D7 are restarts, FF FF is filling (T.81 §B.1.1.2)."""
TURNED = re.compile(  # The EXIF orientation (Exif 2.32 §4.6.4), where it is not 1.
    rb"\x12\x01[\x03\x04]\0\x01\0\0\0(?!\x01\0)|"
    rb"\x01\x12\0[\x03\x04]\0\0\0\x01(?!\0\x01|\0\0\0\x01)"
)

PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
RENDERING = {b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"cICP"}  # How to show samples.
RENDERING_MAX_BYTES = 32  # As cHRM has; a longer one hides something.
BOX_MIN_BYTES = 8

number = int.from_bytes  # Big endian.
Found = tuple[tuple[int, int] | None, list[memoryview]]
"""Width and height, if known; the parts that are the picture, if it is plain (whole, upright, in
sRGB, of 8 bits), so that every decoder shows them alike."""


def sniff(file: memoryview) -> str:
    """Return which of `ACCEPTED` a file is, by how it begins, or raise `ImageTypeUnsupported`."""
    head = bytes(file[:HEAD_BYTES])
    for kind, signature in ACCEPTED.items():
        if re.match(signature, head, re.DOTALL):
            return kind
    others = (what for what, it in OTHERS.items() if re.match(it, head, re.DOTALL | re.IGNORECASE))
    raise ImageTypeUnsupported(f"This is {next(others)}; accepted are {', '.join(ACCEPTED)}.")


def strip_jpeg(file: memoryview) -> Found:
    """Walk a JPEG's segments (T.81 Annex B), or raise `ImageUnreadable` or `ImageTooComplex`."""
    parts, size, plain, marker, scans = [file[:2]], None, True, 0, 0
    for marker, start, end in _segments(file):
        body = file[start + 4 : end]
        if marker in FRAMES:  # Bits, height, width, number of components (§B.2.2).
            if size or len(body) < 6 or len(body) != 6 + 3 * body[5]:  # noqa: PLR2004
                raise ImageUnreadable(DAMAGED)
            size = (number(body[3:5]), number(body[1:3]))
            plain &= body[0] == BITS and body[5] in (1, 3)
        scans += marker == SOS
        if scans > SCANS_MAX:
            raise ImageTooComplex(f"This JPEG consists of more than {SCANS_MAX} scans.")
        if marker < APP0 or (marker, bytes(body[:5]), len(body)) in COLOUR_MODELS:
            parts.append(file[start:end])
            plain &= marker in PLAIN or marker >= APP0
        elif marker == APP1:
            plain &= not TURNED.search(body)
        elif marker == APP2 and bytes(body[:12]) == b"ICC_PROFILE\0":
            plain &= _is_srgb(bytes(body))
        else:
            plain &= marker not in (APP0, APP14)
    if not scans or not size:
        raise ImageUnreadable(DAMAGED)
    return size, parts if plain and marker == EOI else []


def _segments(file: memoryview) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment up to EOI; a scan's data belong to its SOS."""
    at, in_picture, marker = 2, False, 0
    for _ in range(PARTS_MAX):
        start = _next_marker(file, at)
        if marker == EOI or start + 1 >= len(file):
            return
        marker = file[start + 1]
        end = start + 2 + (0 if marker == EOI else number(file[start + 2 : start + 4]))
        if end > len(file) or (in_picture and bytes(file[at:start]).strip(b"\xff")):
            raise ImageUnreadable(DAMAGED)
        if marker == SOS:
            in_picture, end = True, _next_marker(file, end)
        yield marker, start, end
        at = end
    raise ImageTooComplex(f"This JPEG consists of more than {PARTS_MAX} segments.")


def _next_marker(file: memoryview, at: int) -> int:
    """Where the next marker begins that is no restart, or the end of the file."""
    for step in range(at, len(file), STEP_BYTES):
        # In steps, since a search keeps other threads waiting; a marker may lie across two.
        if found := MARKER.search(file, step, step + STEP_BYTES + 1):
            return found.start()
    return len(file)


def strip_png(file: memoryview) -> Found:
    """Walk along a PNG's chunks (W3C PNG, third edition, §5), or raise as `strip_jpeg` does."""
    if file[: len(PNG_HEAD)] != PNG_HEAD:
        return None, []
    parts, at, has_pixels, plain = [file[:8]], 8, False, True
    for _ in range(PARTS_MAX):
        kind, end = bytes(file[at + 4 : at + 8]), at + 12 + number(file[at : at + 4])
        body, checksum = file[at + 8 : end - 4], file[end - 4 : end]
        if end > len(file):
            raise ImageUnreadable(DAMAGED)
        known = kind in PIXELS or kind[0] & 0x20  # Or else a decoder must know it (§5.4).
        if not known or zlib.crc32(body, zlib.crc32(kind)) != number(checksum):
            return None, []
        if kind in PIXELS or (kind in RENDERING and len(body) <= RENDERING_MAX_BYTES):
            parts.append(file[at:end])
        elif kind == b"eXIf":
            plain &= not TURNED.search(body)
        elif kind == b"iCCP":
            plain &= _is_srgb(bytes(body).partition(b"\0")[2][1:], packed=True)
        at, has_pixels = end, has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            size = (number(file[16:20]), number(file[20:24]))
            return size, parts if plain and has_pixels and file[24] <= BITS else []
    raise ImageTooComplex(f"This PNG consists of more than {PARTS_MAX} chunks.")


def check_boxes(file: memoryview) -> Found:
    """Refuse a cut HEIC or AVIF (ISO/IEC 14496-12 §4.2), whose missing tiles decoders fill in."""
    at = 0
    for _ in range(PARTS_MAX):
        if at == len(file):
            return None, []
        size = number(file[at : at + 4]) or len(file) - at  # 0 is up to the end.
        if size == 1:
            size = number(file[at + 8 : at + 16])
        if size < BOX_MIN_BYTES or at + size > len(file):
            break
        at += size
    raise ImageUnreadable(DAMAGED)


def _is_srgb(profile: bytes, *, packed: bool = False) -> bool:
    with contextlib.suppress(zlib.error):
        if packed:
            profile = zlib.decompressobj().decompress(profile, ICC_MAX_BYTES)
    return any(name in profile for name in SRGB_NAMES)
