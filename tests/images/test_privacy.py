"""Nothing about the sender goes upstream."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from app.images import ImageLimits, Intake
from tests.images.files import (
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
    sent,
    swapped_profile,
    text_chunks,
    turned,
    with_segment,
)

GPS = exif(gps=True)


def photo(**options: Any) -> bytes:
    """As a phone takes it: where, with what, and who, in all the places that hold it."""
    file = jpeg(exif=GPS, xmp=XMP_MARK, comment=COMMENT_MARK, **options)
    return with_segment(0xED, b"Photoshop 3.0\0" + COMMENT_MARK, file) + XMP_MARK


FILES: dict[str, Make] = {
    "jpeg": photo,
    "jpeg that is turned": lambda: jpeg(
        turned(6), exif=exif(orientation=6, gps=True), xmp=XMP_MARK, comment=COMMENT_MARK
    ),
    "jpeg in sRGB": lambda: photo(icc_profile=profile("sRGB")),
    "jpeg in other colours": lambda: photo(icc_profile=swapped_profile()),
    "png": lambda: png(pnginfo=text_chunks(), exif=GPS) + XMP_MARK,
    "png of 16 bits": lambda: png(scene().convert("I;16"), pnginfo=text_chunks(), exif=GPS),
    "webp": lambda: encoded(scene(), "WEBP", exif=GPS, xmp=XMP_MARK),
    "gif": lambda: encoded(scene(), "GIF", comment=COMMENT_MARK),
    "tiff": lambda: encoded(scene(), "TIFF", exif=GPS, description=GPS_MARK),
    "heic": lambda: encoded(scene(), "HEIF", exif=GPS, xmp=XMP_MARK),
    "avif": lambda: encoded(scene(), "AVIF", exif=GPS, xmp=XMP_MARK),
    "heic with a thumbnail": lambda: encoded(scene(256, 192), "HEIF", exif=GPS, thumbnails=[64]),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
async def test_no_place_no_comment_and_no_name_goes_upstream(make: Make) -> None:
    body = make()
    intake = Intake(ImageLimits())
    file = sent(await intake.take_in(body))
    await intake.close()
    marks = (GPS_MARK.encode(), COMMENT_MARK, XMP_MARK, b"Exif", b"ICC_PROFILE", b"eXIf", b"tEXt")
    assert [mark for mark in marks if mark in file] == []
    arrived = Image.open(io.BytesIO(file))
    assert not arrived.getexif()
    assert arrived.info.keys() <= {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
        "dpi",
        "gamma",
        "srgb",
    }


async def test_metadata_is_cut_out_without_touching_the_pixels() -> None:
    intake = Intake(ImageLimits())
    file = sent(await intake.take_in(photo()))
    await intake.close()
    assert file == jpeg()


@pytest.mark.parametrize("mime", ["jpeg", "png"])
async def test_what_is_too_long_for_a_data_url_is_made_smaller(mime: str) -> None:
    encode: Callable[[Image.Image], bytes] = {"jpeg": jpeg_at_its_best, "png": png}[mime]
    body = encode(noise(2000, 1500))
    assert len(body) > 7_500_000
    intake = Intake(ImageLimits())
    taken = await intake.take_in(body)
    await intake.close()
    assert len(taken.url) <= 10_000_000
    assert Image.open(io.BytesIO(sent(taken))).size == (2000, 1500)


def jpeg_at_its_best(image: Image.Image) -> bytes:
    return jpeg(image, quality=100)


def test_difference_sees_a_mirror() -> None:
    assert difference(scene(), turned(2)) > 30
