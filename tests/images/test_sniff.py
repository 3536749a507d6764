"""Files told apart by their content."""

import pytest

from app.errors import ImageTypeUnsupported
from app.images.sniff import HEAD_BYTES, Kind, sniff
from tests.images.files import encoded, jpeg, png, scene


def ftyp(major: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\0\0\0\x08meta"


TAKEN = {
    "jpeg": (jpeg(), Kind.JPEG),
    "png": (png(), Kind.PNG),
    "webp": (encoded(scene(), "WEBP"), Kind.WEBP),
    "gif 89": (encoded(scene(), "GIF"), Kind.GIF),
    "gif 87": (b"GIF87a" + bytes(20), Kind.GIF),
    "bmp": (encoded(scene(), "BMP"), Kind.BMP),
    "old bmp": (b"BM" + bytes(12) + b"\x0c\0\0\0", Kind.BMP),
    "tiff": (encoded(scene(), "TIFF"), Kind.TIFF),
    "motorola tiff": (b"MM\0*" + bytes(20), Kind.TIFF),
    "big tiff": (b"II+\0" + bytes(20), Kind.TIFF),
    "heic": (encoded(scene(), "HEIF"), Kind.HEIC),
    "avif": (encoded(scene(), "AVIF"), Kind.AVIF),
    "heif of any codec": (ftyp(b"mif1", b"heic"), Kind.HEIC),
    "heif with avif inside": (ftyp(b"mif1", b"miaf", b"avif"), Kind.AVIF),
    "heic as a compatible brand": (ftyp(b"MiHE", b"mif1", b"heic"), Kind.HEIC),
    "avif sequence": (ftyp(b"avis"), Kind.AVIF),
}

REFUSED = {
    "a PDF document": b"%PDF-1.7\n",
    "an SVG drawing": (
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- <b> -->\n<!DOCTYPE svg>\n<svg width="1">'
    ),
    "an HTML page": b"\n<!doctype HTML><html>",
    "an XML document": b'<?xml version="1.0"?><rss/>',
    "a JPEG 2000 image": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a JPEG XL image": b"\xff\x0a\x00",
    "a Photoshop document": b"8BPS\0\1",
    "a GIMP document": b"gimp xcf v011",
    "an icon file": b"\0\0\1\0\1\0\x10\x10",
    "a PostScript document": b"%!PS-Adobe-3.0",
    "a WebM or Matroska video": b"\x1a\x45\xdf\xa3\x01",
    "an AVI video": b"RIFF\0\0\0\0AVI LIST",
    "an MP4 video": ftyp(b"isom", b"mp42"),
    "a QuickTime video": ftyp(b"qt  "),
    "a Canon raw image": ftyp(b"crx "),
    "an MPEG video": b"\0\0\1\xba\x44",
    "a sound file": b"ID3\x04\0",
    "a ZIP archive": b"PK\3\4\x14",
    "a compressed archive": b"\x1f\x8b\x08",
    "a program": b"\x7fELF\2",
    "a JSON document": b'{"image": 1}',
    "base64 text, not the image itself": b"iVBORw0KGgoAAAANSUhEUg",
    "plain text": "Grüße aus dem Urlaub".encode(),
    "a file of an unknown kind": b"\x93\x00\x01\x02",
}

OTHER_SPELLINGS = [
    ("an SVG drawing", b"<svg xmlns='x'>"),
    ("an SVG drawing", b'<svg:svg xmlns:svg="x">'),
    ("an SVG drawing", b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x" [<!ENTITY a "b>">]>'),
    ("an HTML page", b"<!-- hi --><body>"),
    ("a QuickTime video", b"\0\0\0\x08wide\0\0"),
    ("a JSON document", b'[{"a": 1}]'),
    ("a sound file", b"\xff\xfb\x90\x00"),
    ("plain text", b"BM is short for bitmap, of course"),
    ("plain text", b"   \n"),
    ("plain text", "Grüße".encode("utf-16")),
    ("plain text", ("a" * (HEAD_BYTES - 1) + "é").encode()[:HEAD_BYTES]),
    ("a file of an unknown kind", b"\xff"),
    ("a file of an unknown kind", b"ab\x01cd"),
    ("an MP4 video", b"\0\0\0\0ftyp"),
]


@pytest.mark.parametrize(("head", "kind"), TAKEN.values(), ids=TAKEN.keys())
def test_a_picture_is_known_by_its_content(head: bytes, kind: Kind) -> None:
    assert sniff(head[:HEAD_BYTES]) is kind


@pytest.mark.parametrize(("what", "head"), [*REFUSED.items(), *OTHER_SPELLINGS])
def test_anything_else_is_named(what: str, head: bytes) -> None:
    with pytest.raises(ImageTypeUnsupported) as refusal:
        sniff(head)
    assert refusal.value.detail == (
        f"This is {what}; accepted are JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF."
    )


@pytest.mark.parametrize("piece", [b"<!---->", b"<?xml?>", b" ", b"<!DOCTYPE x>", b"{", b"G", b"["])
def test_no_head_makes_the_search_go_back_and_forth(piece: bytes) -> None:
    with pytest.raises(ImageTypeUnsupported):
        sniff((piece * HEAD_BYTES)[:HEAD_BYTES])
