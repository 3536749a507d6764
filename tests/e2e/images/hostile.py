"""Pictures at the limits and beyond them: sizes, bombs, and files that are two things at once."""

import struct
import zlib

from PIL import Image

from tests.e2e.images.files import (
    Case,
    Goes,
    Refused,
    chunk,
    encoded,
    gif_frames,
    grey,
    jpeg,
    paletted,
    png,
    scene,
    with_chunk,
    with_segment,
)
from tests.e2e.images.samples import PART_WEBP


def many_frames() -> bytes:
    """A GIF of 10,000 frames: the second one, made of few bytes, 9,999 times."""
    two = gif_frames(2)
    first, second = gif_frames(1)[:-1], two[len(gif_frames(1)) - 1 : -1]
    return first + second * 9_999 + b";"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_00), 9)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_of(tags: dict[int, int]) -> bytes:
    """A TIFF's header and directory (TIFF 6.0 §8 has the numbers), and nothing of the picture."""
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(68)


VAST_TIFF = {256: 60_000, 257: 60_000, 258: 8, 259: 8, 262: 1, 273: 200, 277: 1, 279: 8}
VAST_TILE = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 277: 1, 322: 50_000, 323: 50_000}
VAST_TILE |= {324: 200, 325: 8}
MANY_PIXELS = Refused("image_dimensions", "12000000 pixels")
DAMAGED = Refused("image_unreadable")


def webp_bomb() -> bytes:
    """The header of a lossless picture of 16,383 x 16,383 (RFC 9649 §3.4), and next to nothing."""
    picture = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(9)
    return b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<I", 14) + picture


def webp_of_canvas(width: int, height: int) -> bytes:
    """Frames on a canvas of another size (RFC 9649 §2.7)."""
    sides = (struct.pack("<I", side - 1)[:3] for side in (width, height))
    return PART_WEBP[:24] + b"".join(sides) + PART_WEBP[30:]


def bmp_run_lengths(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 66, 0, 0, 62) + info + bytes(8) + b"\2\1\0\1"


def many_scans(count: int) -> bytes:
    file = jpeg(grey(), progressive=True)
    at = file.rindex(b"\xff\xda")
    return file[:at] + file[at:-2] * count + b"\xff\xd9"


def broken_scan() -> bytes:
    """Half of the scan, a marker that does not belong there, and the other half."""
    file = jpeg(scene(200, 150))
    middle = (file.index(b"\xff\xda") + len(file)) // 2
    return file[:middle] + b"\xff\xe5\0\x04ab" + file[middle:]


def many_segments() -> bytes:
    return jpeg()[:2] + b"\xff\xfe\0\2" * 70_000 + jpeg()[2:]


def profile_bomb() -> bytes:
    return with_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(5_000_000)))


def text_bomb() -> bytes:
    return with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000)))


def vast_gif() -> bytes:
    small, vast = (struct.pack("<HH", *size) for size in ((64, 48), (65_000, 65_000)))
    return encoded(paletted(), "GIF").replace(small, vast)


BAD_SIZE = "image_dimensions"
SIZES = [
    Case("9 x 9", lambda: png(scene(9, 9)), Refused(BAD_SIZE, "9 x 9 pixels; both sides")),
    Case("10 x 40", lambda: jpeg(scene(10, 40)), Refused(BAD_SIZE, "longer than 10")),
    Case("11 x 11", lambda: png(scene(11, 11)), Goes(lambda: scene(11, 11), same=True)),
    Case("1 x 201", lambda: png(Image.new("L", (1, 201))), Refused("image_dimensions", "1 x 201")),
    Case("11 x 2201", lambda: jpeg(scene(11, 2201)), Refused("image_dimensions", "200 times")),
    Case("gif 12 x 2401", lambda: encoded(scene(12, 2401), "GIF"), Refused(BAD_SIZE, "200 times")),
    Case("11 x 2200", lambda: jpeg(scene(11, 2200)), Goes(lambda: scene(11, 2200), tolerance=16)),
    Case("30 x 3000", lambda: png(scene(30, 3000)), Goes(lambda: scene(11, 1100), tolerance=16)),
    Case("a large jpeg", lambda: jpeg(scene(1000, 750)), Goes(scaled=True)),
    Case("a jpeg not quite twice too large", lambda: jpeg(scene(400, 300)), Goes(scaled=True)),
    Case("a large png", lambda: png(scene(1000, 750)), Goes(scaled=True)),
    Case("a large heic", lambda: encoded(scene(800, 600), "HEIF"), Goes(scaled=True, tolerance=10)),
    Case("20 MB", lambda: jpeg() + bytes(20 * 2**20), Refused("image_too_large", "2000000")),
    Case("zero bytes", bytes, Refused("image_missing", "image")),
    Case("one byte", lambda: b"\xff", Refused("image_type_unsupported", "unknown kind")),
]

BOMBS = [
    Case("png bomb", png_bomb, Refused("image_dimensions", "50000 x 50000")),
    Case("gif of 10,000 frames", many_frames, Goes(paletted)),
    Case("gif of one vast frame", vast_gif, MANY_PIXELS),
    Case("tiff bomb", lambda: tiff_of(VAST_TIFF), MANY_PIXELS),
    Case("tiff with a vast tile", lambda: tiff_of(VAST_TILE), DAMAGED),
    Case("webp bomb", webp_bomb, MANY_PIXELS),
    Case("webp of a vast canvas", lambda: webp_of_canvas(16_383, 16_383), MANY_PIXELS),
    Case("webp of a frame larger than its canvas", lambda: webp_of_canvas(63, 48), DAMAGED),
    Case("bmp bomb", lambda: bmp_run_lengths(2500, 2500), DAMAGED),
    Case("small bmp of run lengths", lambda: bmp_run_lengths(40, 40), DAMAGED),
    Case("png with a text bomb", text_bomb, Goes(tolerance=0)),
    Case("png with a profile bomb", profile_bomb, DAMAGED),
    Case("jpeg of many scans", lambda: many_scans(65), Refused("image_too_complex", "64 scans")),
    Case("jpeg of many segments", many_segments, Refused("image_too_complex", "65536 segments")),
    Case("jpeg whose scan ends at a stray marker", broken_scan, DAMAGED),
    # What is black in samples without a scale, and what white, would be guessed.
    Case("tiff floats", lambda: encoded(grey().convert("F"), "TIFF"), DAMAGED),
    Case("tiff 32-bit integers", lambda: encoded(grey().convert("I"), "TIFF"), DAMAGED),
]


PAGE = b"<script>alert(1)</script><b>PK"
POLYGLOTS = [
    Case("jpeg with a zip behind it", lambda: jpeg() + b"PK\3\4" + bytes(99), Goes(tolerance=3)),
    Case("png with a zip behind it", lambda: png() + b"PK\3\4" + bytes(99), Goes(tolerance=0)),
    Case("jpeg with a page in its comment", lambda: with_segment(0xFE, PAGE), Goes(tolerance=3)),
    Case("png, a page in a gamma chunk", lambda: with_chunk(b"gAMA", PAGE + bytes(9)), Goes()),
    Case("jpeg with junk inside", lambda: jpeg()[:20] + b"junk" + jpeg()[20:], Goes(tolerance=3)),
    Case("jpeg with filling", lambda: jpeg()[:20] + b"\xff\xff" + jpeg()[20:], Goes(tolerance=3)),
]


OTHER_KINDS = {
    "a PDF document": b"%PDF-1.7\n",
    "an SVG drawing": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- <b> -->\n<svg width="1">',
    "an HTML page": b"\n<!doctype HTML><html>",
    "an MP4 video": b"\0\0\0\x14ftypisom\0\0\0\0mp42\0\0\0\x08meta",
    "a ZIP archive": b"PK\3\4\x14",
    "a JSON document": b'{"image": 1}',
    "base64 text, not the image itself": b"iVBORw0KGgoAAAANSUhEUg",
    "plain text": "Grüße aus dem Urlaub".encode(),
    "a file of an unknown kind": b"\x93\x00\x01\x02",
}
