"""Nothing about the sender goes upstream."""

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from tests.e2e.images.files import (
    COMMENT_MARK,
    GPS_MARK,
    XMP_MARK,
    Make,
    difference,
    encoded,
    exif,
    jpeg,
    noise,
    png,
    profile,
    scene,
    swapped_profile,
    text_chunks,
    turned,
    with_segment,
)
from tests.e2e.images.uploads import Uploads, uploads

GPS = exif(gps=True)
MARKS: tuple[bytes, ...] = (GPS_MARK.encode(), COMMENT_MARK, XMP_MARK, b"MPF\0")
MARKS += (b"Exif", b"ICC_PROFILE", b"eXIf", b"tEXt", b"iTXt", b"zTXt", b"Photoshop")
HARMLESS = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "gamma", "srgb"}
URL_MAX_CHARS = 10_485_760


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Uploads]:
    async with uploads() as service:
        yield service


def photo(**options: Any) -> bytes:
    """As a phone takes it: where, with what, and who, in all the places that hold it."""
    file = jpeg(exif=GPS, xmp=XMP_MARK, comment=COMMENT_MARK, **options)
    return with_segment(0xED, b"Photoshop 3.0\0" + COMMENT_MARK, file) + XMP_MARK


FILES: dict[str, Make] = {
    "jpeg": photo,
    "jpeg that is turned": lambda: jpeg(turned(6), exif=exif(orientation=6, gps=True)),
    "jpeg in sRGB": lambda: photo(icc_profile=profile("sRGB")),
    "jpeg in other colours": lambda: photo(icc_profile=swapped_profile()),
    "large jpeg": lambda: jpeg(scene(3000, 2000), exif=GPS, xmp=XMP_MARK, comment=COMMENT_MARK),
    "mpo": lambda: encoded(scene(), "MPO", save_all=True, append_images=[scene()], exif=GPS),
    "png": lambda: png(pnginfo=text_chunks(), exif=GPS) + XMP_MARK,
    "png of 16 bits": lambda: png(scene().convert("I;16"), pnginfo=text_chunks(), exif=GPS),
    "webp": lambda: encoded(scene(), "WEBP", exif=GPS, xmp=XMP_MARK),
    "gif": lambda: encoded(scene(), "GIF", comment=COMMENT_MARK),
    "bmp": lambda: encoded(scene(), "BMP") + XMP_MARK,
    "tiff": lambda: encoded(scene(), "TIFF", exif=GPS, description=GPS_MARK),
    "heic": lambda: encoded(scene(), "HEIF", exif=GPS, xmp=XMP_MARK),
    "avif": lambda: encoded(scene(), "AVIF", exif=GPS, xmp=XMP_MARK),
    "heic with a thumbnail": lambda: encoded(scene(256, 192), "HEIF", exif=GPS, thumbnails=[64]),
}


@pytest.mark.parametrize("kind", FILES)
async def test_no_place_no_comment_and_no_name_goes_upstream(kind: str, service: Uploads) -> None:
    file = await service.arrived(FILES[kind]())
    assert [mark for mark in MARKS if mark in file] == []
    arrived = Image.open(io.BytesIO(file))
    assert not arrived.getexif()
    assert arrived.info.keys() <= HARMLESS
    if kind == "jpeg":
        assert file == jpeg()  # Not a pixel is touched.


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_what_is_too_long_for_a_data_url_is_encoded_anew(kind: str, service: Uploads) -> None:
    image = noise(2048, 1700)
    body = encoded(image, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    assert len(body) > URL_MAX_CHARS * 3 // 4
    file = await service.arrived(body)
    assert len(service.urls[0]) <= URL_MAX_CHARS
    assert Image.open(io.BytesIO(file)).size == image.size


def test_difference_sees_a_mirror() -> None:
    assert difference(scene(), turned(2)) > 30
