"""Pictures and files for the tests, all drawn and encoded here."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pillow_heif
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFile, PngImagePlugin

Make = Callable[[], bytes]

pillow_heif.register_heif_opener()
ImageFile.MAXBLOCK = 1 << 26
"""Pillow writes a progressive JPEG in one piece, which must have room."""

GPS_MARK = "48.8584N-SECRET"
COMMENT_MARK = b"taken at home by Alice"
XMP_MARK = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>Alice's camera</x:xmpmeta>"
MARKS = (GPS_MARK.encode(), COMMENT_MARK, XMP_MARK)


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """No two of its corners are alike, so a turn or a mirror shows."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    half = (width // 2, height // 2)
    draw.rectangle((0, 0, half[0] - 1, half[1] - 1), "red")
    draw.rectangle((half[0], 0, width, half[1] - 1), "green")
    draw.rectangle((0, half[1], half[0] - 1, height), "blue")
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or scene(), "JPEG", **{"quality": 92, "subsampling": 0} | options)


def png(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or scene(), "PNG", **options)


def noise(width: int, height: int) -> Image.Image:
    return Image.merge("RGB", [Image.effect_noise((width, height), 120) for _ in "RGB"])


def exif(*, orientation: int | None = None, gps: bool = False) -> bytes:
    tags = Image.Exif()
    if orientation is not None:
        tags[0x0112] = orientation
    if gps:
        tags[0x010E] = GPS_MARK
        tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG with one chunk more, right behind its header."""
    file = png()
    return file[:33] + chunk(kind, body) + file[33:]


def with_segment(marker: int, body: bytes, file: bytes | None = None) -> bytes:
    """A JPEG with one segment more, right behind its first two bytes."""
    file = file or jpeg()
    return file[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + file[2:]


UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(orientation: int) -> Image.Image:
    """The scene as a camera held that way stores it: upright again when the tag is obeyed."""
    return scene().transpose(UNDO[orientation]) if orientation in UNDO else scene()


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]  # literals


def swapped_profile() -> bytes:
    """A profile whose red is blue: an image in it comes out with those two exchanged."""
    plain = profile("sRGB").replace(b"s\0R\0G\0B", b"o\0t\0h\0r").replace(b"sRGB", b"othr")
    return plain.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")


def text_chunks() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", COMMENT_MARK.decode())
    info.add_itxt("XML:com.adobe.xmp", XMP_MARK.decode())
    info.add_text("Author", GPS_MARK, zip=True)
    return info


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures' samples, 0 to 255; transparent counts as white."""

    def plain(image: Image.Image) -> Image.Image:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")

    counts = ImageChops.difference(plain(one), plain(other)).histogram()
    total = sum((at % 256) * count for at, count in enumerate(counts))
    return total / (3 * one.width * one.height)


def cut_out() -> Image.Image:
    """The scene with its right half transparent."""
    image = scene().convert("RGBA")
    image.paste((0, 0, 0, 0), (32, 0, 64, 48))
    return image


GREY = scene().convert("L")
PALETTED = scene().quantize(64)


class Goes(NamedTuple):
    """It goes upstream and looks like this."""

    like: Image.Image = scene()
    same: bool = False  # Not a byte is changed.
    tolerance: float = 6
    scaled: bool = False  # Down to about the longest side.


class Refused(NamedTuple):
    code: str
    saying: str = ""


class Case(NamedTuple):
    name: str
    make: Make
    then: Goes | Refused
