"""Pictures at the limits and beyond them: sizes, bombs, and files that are two things at once."""

import struct
import zlib

from PIL import Image

from tests.e2e.images import files
from tests.e2e.images.files import Case, Goes, Refused, chunk, encoded, jpeg, png, scene, with_chunk


def many_frames() -> bytes:
    """A GIF of 10,000 frames: the second one, made of few bytes, 9,999 times."""
    more: list[list[Image.Image]] = [[], [Image.new("P", (64, 48))]]
    one, two = (encoded(files.PALETTED, "GIF", save_all=True, append_images=it) for it in more)
    return one[:-1] + two[len(one) - 1 : -1] * 9_999 + b";"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_00), 9)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_with_a_vast_tile() -> bytes:
    """Its header and directory (TIFF 6.0 §8 has the numbers), and nothing of the picture."""
    tags = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 277: 1, 322: 50_000, 323: 50_000}
    tags |= {324: 200, 325: 8}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(68)


def webp_bomb() -> bytes:
    """The header of a lossless picture of 16,383 x 16,383 (RFC 9649 §3.4), and next to nothing."""
    picture = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(9)
    return b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<I", 14) + picture


def many_scans(count: int) -> bytes:
    file = jpeg(files.GREY, progressive=True)
    at = file.rindex(b"\xff\xda")
    return file[:at] + file[at:-2] * count + b"\xff\xd9"


def broken_scan() -> bytes:
    """Half of the scan, a marker that does not belong there, and the other half."""
    file = jpeg(scene(200, 150))
    middle = (file.index(b"\xff\xda") + len(file)) // 2
    return file[:middle] + b"\xff\xe5\0\x04ab" + file[middle:]


def vast_gif() -> bytes:
    small, vast = (struct.pack("<HH", *size) for size in ((64, 48), (65_000, 65_000)))
    return encoded(files.PALETTED, "GIF").replace(small, vast)


BAD_SIZE, COMPLEX = "image_dimensions", "image_too_complex"
ELEVEN, THIN = scene(11, 11), scene(11, 2200)
DAMAGED, MANY_PIXELS = Refused("image_unreadable"), Refused(BAD_SIZE, "12000000 pixels")
TEXT_BOMB = b"Comment\0\0" + zlib.compress(bytes(5_000_000))
PROFILE_BOMB = b"p\0\0" + zlib.compress(bytes(5_000_000))
SEGMENTED = jpeg()[:2] + b"\xff\xfe\0\2" * 70_000 + jpeg()[2:]
PAGE = b"<script>alert(1)</script><b>PK"
CASES = [
    # Sizes.
    Case("10 x 40", lambda: jpeg(scene(10, 40)), Refused(BAD_SIZE, "longer than 10")),
    Case("11 x 11", lambda: png(ELEVEN), Goes(ELEVEN, same=True)),
    Case("11 x 2201", lambda: jpeg(scene(11, 2201)), Refused(BAD_SIZE, "200 times")),
    Case("gif 12 x 2401", lambda: encoded(scene(12, 2401), "GIF"), Refused(BAD_SIZE, "200 times")),
    Case("11 x 2200", lambda: jpeg(THIN), Goes(THIN, tolerance=16)),
    Case("30 x 3000", lambda: png(scene(30, 3000)), Goes(scene(11, 1100), tolerance=16)),
    Case("a large jpeg", lambda: jpeg(scene(1000, 750)), Goes(scaled=True)),
    Case("a jpeg not quite twice too large", lambda: jpeg(scene(400, 300)), Goes(scaled=True)),
    Case("20 MB", lambda: jpeg() + bytes(20 * 2**20), Refused("image_too_large", "2000000")),
    Case("zero bytes", bytes, Refused("image_missing", "image")),
    # Bombs.
    Case("png bomb", png_bomb, Refused(BAD_SIZE, "50000 x 50000")),
    Case("gif of 10,000 frames", many_frames, Goes(files.PALETTED)),
    Case("gif of one vast frame", vast_gif, MANY_PIXELS),
    Case("webp bomb", webp_bomb, MANY_PIXELS),
    Case("tiff with a vast tile", tiff_with_a_vast_tile, DAMAGED),
    Case("png with a text bomb", lambda: with_chunk(b"zTXt", TEXT_BOMB), Goes(tolerance=0)),
    Case("png with a profile bomb", lambda: with_chunk(b"iCCP", PROFILE_BOMB), DAMAGED),
    Case("jpeg of many scans", lambda: many_scans(65), Refused(COMPLEX, "64 scans")),
    Case("jpeg of many segments", lambda: SEGMENTED, Refused(COMPLEX, "65536 segments")),
    Case("jpeg whose scan ends at a stray marker", broken_scan, DAMAGED),
    # What is black in samples without a scale, and what white, would be guessed.
    Case("tiff floats", lambda: encoded(files.GREY.convert("F"), "TIFF"), DAMAGED),
    # Files that are two things at once.
    Case("jpeg with a zip behind it", lambda: jpeg() + b"PK\3\4" + bytes(99), Goes(tolerance=3)),
    Case("png with a zip behind it", lambda: png() + b"PK\3\4" + bytes(99), Goes(tolerance=0)),
    Case("jpeg, a page in its comment", lambda: files.with_segment(0xFE, PAGE), Goes(tolerance=3)),
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
