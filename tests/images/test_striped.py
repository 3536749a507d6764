"""TIFFs of one strip read row by row: the same picture as Pillow makes of the whole strip."""

import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from app.errors import ImageUnreadable
from app.images import libtiff, normalise, striped
from app.images.libtiff import open_libtiff
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.picture import PillowPicture
from app.images.sniff import Kind
from app.images.striped import StripedPicture
from app.images.tiff import buffer_bytes
from tests.images.files import difference, encoded, noise

LZW, DEFLATE = "tiff_lzw", "tiff_adobe_deflate"


def one_strip(image: Image.Image, compression: str = LZW, **options: Any) -> bytes:
    return encoded(image, "TIFF", compression=compression, strip_size=1 << 30, **options)


def grey(mode: str) -> Image.Image:
    return noise(301, 199).convert("L").convert(mode)


def clear() -> Image.Image:
    image = noise(301, 199)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def of_16_bits(width: int, height: int, *, order: str = "<", predictor: int = 1) -> bytes:
    """RGB of 16 bits a sample, in one strip."""
    samples = b"".join(
        struct.pack(f"{order}3H", x * 200 % 65_536, y * 300 % 65_536, 40_000)
        for y in range(height)
        for x in range(width)
    )
    packed = zlib.compress(samples)
    tags = {256: width, 257: height, 259: 8, 262: 2, 277: 3, 278: height, 279: len(packed)}
    tags |= {258: 8 + 2 + 12 * 10 + 4, 273: 8 + 2 + 12 * 10 + 4 + 6, 317: predictor}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1)
        + struct.pack(f"{order}I", tags[tag])
        for tag in sorted(tags)
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + packed


FILES = {
    "CMYK, a JPEG inside": one_strip(noise(301, 199).convert("CMYK"), "jpeg"),
    "RGB, a JPEG inside": one_strip(noise(301, 199), "jpeg"),
    "L, a JPEG inside": one_strip(grey("L"), "jpeg"),
    "L": one_strip(grey("L")),
    "LA": one_strip(clear().convert("LA")),
    "RGB": one_strip(noise(301, 199)),
    "RGBA": one_strip(clear()),
    "CMYK": one_strip(noise(301, 199).convert("CMYK")),
    "I;16": one_strip(grey("I;16")),
    "I": one_strip(grey("I")),
    "F": one_strip(grey("F")),
    "deflated": one_strip(noise(301, 199), DEFLATE),
    "of differences": one_strip(noise(301, 199), tiffinfo={317: 2}),
    "packed": one_strip(noise(301, 199), "packbits"),
    "turned": one_strip(noise(301, 199), tiffinfo={274: 6}),
    "big-endian": encoded(
        noise(301, 199), "TIFF", compression=LZW, big_tiff=True, strip_size=1 << 30
    ),
    "of 16 bits": of_16_bits(301, 199),
    "of 16 bits, Motorola's": of_16_bits(301, 199, order=">"),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small strips count as large ones here."""
    monkeypatch.setattr(striped, "STRIP_MAX_BYTES", 1 << 14)


def opened(file: bytes) -> StripedPicture:
    plan = examine(memoryview(file), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, StripedPicture)
    return plan.picture


@pytest.mark.parametrize("max_side", [0, 150])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_it_is_what_pillow_decodes(file: bytes, max_side: int) -> None:
    picture = opened(file)
    ours, theirs = picture.decode(max_side), PillowPicture.decode(picture, max_side)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    assert difference(ours.convert("RGB"), theirs.convert("RGB")) == 0
    assert picture.decoding_bytes(max_side) > 0


OTHERS = {
    "not compressed": encoded(noise(301, 199), "TIFF"),
    "of many strips": encoded(noise(301, 199), "TIFF", compression=LZW, strip_size=1 << 10),
    "of colours by number": one_strip(noise(301, 199).quantize()),
    "of two colours": one_strip(noise(301, 199).convert("1"), "group4"),
    "with a JPEG of other colours inside": one_strip(noise(301, 199).convert("YCbCr"), "jpeg"),
}


@pytest.mark.parametrize("file", OTHERS.values(), ids=OTHERS.keys())
def test_others_are_left_to_pillow(file: bytes) -> None:
    plan = examine(memoryview(file), ImageLimits())
    assert isinstance(plan, Raw)
    assert type(plan.picture) is PillowPicture
    plan.finish()


def in_one_tile(samples: int, *, bits: int = 8) -> bytes:
    """White, as wide and as high as its only tile."""
    image = TIFF_MODES[samples]
    side = 512
    packed = zlib.compress(b"\xff" * (side * side * samples * bits // 8))
    tags = {256: side, 257: side, 259: 8, 262: 5 if image == "CMYK" else 2, 277: samples}
    at = 8 + 2 + 12 * 11 + 4
    tags |= {258: at, 284: 1, 322: side, 323: side, 324: at + 2 * samples, 325: len(packed)}
    entries = b"".join(
        struct.pack("<HHII", tag, *((3, samples) if tag == 258 else (4, 1)), tags[tag])
        for tag in sorted(tags)
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + struct.pack(f"<{samples}H", *[bits] * samples) + packed


TIFF_MODES = {3: "RGB", 4: "CMYK"}


def test_a_tile_that_leaves_no_room_for_the_picture_is_refused() -> None:
    """Three bytes a pixel are left to Pillow."""
    assert type(picture_of(in_one_tile(3))) is PillowPicture
    for file in (in_one_tile(4), in_one_tile(3, bits=16)):
        with pytest.raises(ImageUnreadable, match="tiles of"):
            examine(memoryview(file), ImageLimits())


def test_small_tiles_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(striped, "STRIP_MAX_BYTES", 1 << 20)
    assert type(picture_of(in_one_tile(4))) is PillowPicture


def picture_of(file: bytes) -> object:
    plan = examine(memoryview(file), ImageLimits())
    assert isinstance(plan, Raw)
    plan.finish()
    return plan.picture


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("name", ["RGB", "F", "deflated", "packed", "of 16 bits"])
def test_a_file_that_is_cut_off_is_unreadable(name: str, tenth: int) -> None:
    """Its directory may stand at its end, or before the picture."""
    file = FILES[name]
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file[: len(file) * tenth // 10]), ImageLimits()).finish()


def test_a_file_that_libtiff_cannot_open_is_an_error() -> None:
    library = open_libtiff()
    assert library
    for file in (b"", b"II*\0", b"no picture at all"):
        with pytest.raises(ValueError, match="cannot open"), library.opened(memoryview(file)):
            pass


def test_without_the_library_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "LIBTIFF", None)
    plan = examine(memoryview(FILES["RGBA"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert type(plan.picture) is PillowPicture
    # The strip is charged.
    assert plan.picture.decoding_bytes(0) > 301 * 199 * 8
    monkeypatch.setattr(libtiff, "load", lambda _module, _prototypes: None)
    assert open_libtiff() is None


def of(codec: str, **tags: Any) -> Any:
    names = {"rows": 278, "samples": 277, "bits": 258, "planar": 284, "wide": 322, "high": 323}
    tag_v2 = {names[name]: value for name, value in tags.items()}
    tile = SimpleNamespace(codec_name=codec)
    return SimpleNamespace(tile=[tile], tag_v2=tag_v2 | {256: 100, 257: 50})


@pytest.mark.parametrize(
    ("image", "n_bytes"),
    [
        (of("raw", samples=3, bits=(8, 8, 8)), 0),
        (of("libtiff", samples=3, bits=(8, 8, 8)), 15_000),
        (of("libtiff", samples=3, bits=(8, 8, 8), rows=10), 3_000),
        (of("libtiff", samples=3, bits=(8, 8, 8), rows=1 << 32), 15_000),
        (of("libtiff", samples=4, bits=(16, 16, 16, 16)), 40_000),
        (of("libtiff", samples=4, bits=(16, 16, 16, 16), planar=2), 10_000),
        (of("libtiff", samples=1, bits=(8,), wide=256, high=256), 65_536),
        (of("libtiff"), 625),
    ],
)
def test_what_is_decoded_at_once_is_counted(
    image: TiffImagePlugin.TiffImageFile, n_bytes: int
) -> None:
    assert buffer_bytes(image) == n_bytes


def test_rows_may_be_read_again() -> None:
    library = open_libtiff()
    assert library
    with library.opened(memoryview(FILES["RGB"])) as rows:
        first, last = rows.read(0, 3), rows.read(3, 199)
        assert (rows.read(0, 3), rows.read(3, 199)) == (first, last)
        with pytest.raises(ValueError, match="row"):
            rows.read(199, 200)
    assert PillowPicture(Kind.TIFF, (memoryview(FILES["RGB"]),), None).size == (301, 199)
