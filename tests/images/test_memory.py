"""Memory above idle, measured in a process of its own: resident bytes at their highest."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from tests.images import deep, joint
from tests.images.files import (
    animated_webp,
    encoded,
    exif,
    jpeg,
    noise,
    scene,
    segment,
    swapped_profile,
    webp_frame,
)
from tests.images.test_scans import together
from tests.images.test_striped import of_16_bits
from tests.images.test_together import of_inks

MEASURE = """
import io, json, sys
from pathlib import Path
import pillow_heif
from PIL import Image
from app.images.limits import ImageLimits
from app.images.normalise import examine

def bytes_of(name):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if name in x)
    return int(line.split()[1]) * 1024

pillow_heif.register_heif_opener()
limits = ImageLimits(max_bytes=0, max_side=int(sys.argv[2]))
for kind in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "AVIF", "HEIF"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    examine(memoryview(file.getvalue()), ImageLimits(max_side=32)).finish()
idle = bytes_of("VmRSS:")
body = bytearray(Path(sys.argv[1]).read_bytes())
Path("/proc/self/clear_refs").write_text("5")
plan = examine(memoryview(body), limits)
charged = plan.memory_bytes
pixels = plan.picture.size[0] * plan.picture.size[1]
plan.finish()
print(json.dumps([len(body), pixels, bytes_of("VmHWM:") - idle, charged]))
"""

BOUND = 8
"""Bytes a pixel, besides the body."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")


def measured(body: bytes, folder: Path, max_side: int = 2048) -> tuple[int, int, int, int]:
    """Bytes of the body, its pixels, peak bytes above idle with it, and bytes charged besides."""
    file = folder / "body"
    file.write_bytes(body)
    run = [sys.executable, "-c", MEASURE, str(file), str(max_side)]
    size, pixels, peak, charged = json.loads(subprocess.check_output(run))
    return size, pixels, peak, charged


def large_photo() -> bytes:
    """24 megapixels that take 20 MB."""
    tile = noise(1500, 1000)
    image = tile.resize((6000, 4000))
    for left in range(0, 6000, 1500):
        for top in range(0, 4000, 1000):
            image.paste(tile, (left, top))
    return jpeg(image, quality=80, subsampling=2)


@cache
def photo() -> Image.Image:
    """12 megapixels, as most cameras take them."""
    return scene(4000, 3000)


@cache
def clear() -> Image.Image:
    """The same, half of it transparent."""
    image = photo().convert("RGBA")
    image.paste((0, 0, 0, 0), (2000, 0, 4000, 3000))
    return image


def medium() -> Image.Image:
    """More than is sent, and less than twice that: it is not scaled by a whole number."""
    return photo().crop((0, 0, 3000, 2250))


def at_its_size() -> Image.Image:
    """As much as is sent."""
    return photo().crop((0, 0, 2048, 2048))


def misty() -> Image.Image:
    """As much as is sent, no part of it opaque."""
    image = at_its_size()
    image.putalpha(Image.effect_noise(image.size, 80))
    return image


def odd() -> Image.Image:
    """Of sides that encoders fill up, so that less is to be shown than is stored."""
    return photo().crop((0, 0, 3999, 2999))


def deep_heic(mode: str = "RGB", **options: Any) -> bytes:
    """The photo in ten bits a sample, of which it has eight."""
    return of_ten_bits(clear().convert(mode), quality=60, **options)


def of_ten_bits(image: Image.Image, **options: Any) -> bytes:
    eight = image.tobytes()
    sixteen = bytearray(2 * len(eight))
    sixteen[1::2] = eight
    file = io.BytesIO()
    pillow_heif.encode(f"{image.mode};16", image.size, bytes(sixteen), file, **options)
    return file.getvalue()


def misty_noise() -> Image.Image:
    image = noise(2048, 2048)
    image.putalpha(image.getchannel("G").rotate(90))
    return image


def turned(file: bytes) -> bytes:
    """What says so, and so cannot go as it is."""
    return file[:2] + segment(0xE1, b"Exif\0\0" + SIDEWAYS.removeprefix(b"Exif\0\0")) + file[2:]


SIDEWAYS = exif(orientation=6)
ONE_STRIP: dict[str, Any] = {"compression": "tiff_lzw", "strip_size": 1 << 30}
QUICK: dict[str, Any] = {"method": 0, "quality": 20}

Make = Callable[[], bytes]


@cache
def made(make: Make) -> bytes:
    return make()


PICTURES: dict[str, Make] = {
    "jpeg": lambda: jpeg(photo(), exif=SIDEWAYS),
    "progressive jpeg": lambda: jpeg(photo(), progressive=True),
    "progressive jpeg at its size": lambda: jpeg(at_its_size(), progressive=True, exif=SIDEWAYS),
    "progressive jpeg, 4:2:0": lambda: jpeg(
        at_its_size(), progressive=True, exif=SIDEWAYS, subsampling=2
    ),
    "progressive jpeg in other colours": lambda: jpeg(
        at_its_size(), progressive=True, icc_profile=swapped_profile()
    ),
    "progressive jpeg, 4:2:2": lambda: jpeg(
        at_its_size(), progressive=True, exif=SIDEWAYS, subsampling=1
    ),
    "progressive cmyk jpeg": lambda: jpeg(photo().convert("CMYK"), progressive=True),
    "progressive cmyk jpeg at its size": lambda: jpeg(
        at_its_size().convert("CMYK"), progressive=True, exif=SIDEWAYS
    ),
    "jpeg of components in scans of their own": lambda: together(photo().split(), adobe=0),
    "jpeg of two components in a scan": lambda: turned(joint.FLAT),
    "cmyk jpeg of two components in a scan": lambda: of_inks(joint.FLAT),
    "jpeg of uneven components in a scan": lambda: turned(joint.UNEVEN),
    "progressive jpeg of arithmetic codes": lambda: joint.ARITHMETIC,
    "cmyk jpeg": lambda: jpeg(photo().convert("CMYK")),
    "cmyk jpeg at its size": lambda: jpeg(at_its_size().convert("CMYK"), exif=SIDEWAYS),
    "medium jpeg": lambda: jpeg(medium()),
    "jpeg at its size": lambda: jpeg(at_its_size(), exif=SIDEWAYS),
    "jpeg in other colours": lambda: jpeg(at_its_size(), icc_profile=swapped_profile()),
    "png": lambda: encoded(photo(), "PNG"),
    "transparent png": lambda: encoded(clear(), "PNG"),
    "medium png": lambda: encoded(medium(), "PNG"),
    "bmp": lambda: encoded(photo(), "BMP"),
    "gif": lambda: encoded(photo(), "GIF"),
    "tiff": lambda: encoded(photo(), "TIFF"),
    "turned tiff": lambda: encoded(photo(), "TIFF", tiffinfo={274: 6}),
    "tiff of one strip": lambda: encoded(photo(), "TIFF", **ONE_STRIP),
    "transparent tiff of one strip": lambda: encoded(clear(), "TIFF", **ONE_STRIP),
    "tiff of one strip of numbers": lambda: encoded(photo().convert("F"), "TIFF", **ONE_STRIP),
    "cmyk tiff of one strip, a jpeg inside": lambda: encoded(
        photo().convert("CMYK"), "TIFF", compression="jpeg", strip_size=1 << 30
    ),
    "tiff of one strip, 16 bits": lambda: of_16_bits(2300, 2000),
    "heic": lambda: encoded(photo(), "HEIF"),
    "heic of tiles": lambda: encoded(photo(), "HEIF", tile_size=512),
    "medium heic": lambda: encoded(medium(), "HEIF"),
    "transparent heic": lambda: encoded(clear(), "HEIF"),
    "heic, 4:4:4": lambda: encoded(photo(), "HEIF", chroma=444),
    "heic of noise": lambda: encoded(noise(2048, 2048), "HEIF", exif=SIDEWAYS),
    "heic of noise, 4:4:4": lambda: encoded(noise(2048, 2048), "HEIF", chroma=444),
    "heic of noise in tiles": lambda: encoded(noise(2048, 2048), "HEIF", tile_size=512),
    "heic of noise, 10 bits, 4:4:4, lossless": lambda: of_ten_bits(
        noise(2048, 2048), quality=-1, chroma=444
    ),
    "transparent heic of noise, 10 bits, 4:4:4": lambda: of_ten_bits(
        misty_noise(), quality=90, chroma=444
    ),
    "heic of noise in tiles, 10 bits, 4:4:4": lambda: of_ten_bits(
        noise(2048, 2048), quality=90, chroma=444, tile_size=512
    ),
    "heic of noise in two tiles, 10 bits, 4:4:4": lambda: of_ten_bits(
        noise(4096, 2048), quality=90, chroma=444, tile_size=2048
    ),
    "heic of tiles stored as rgb": lambda: encoded(
        noise(2048, 2048), "HEIF", chroma=444, matrix_coefficients=0, tile_size=512
    ),
    "heic stored as rgb": lambda: encoded(photo(), "HEIF", chroma=444, matrix_coefficients=0),
    "heic, 10 bits": deep_heic,
    "heic, 10 bits, 4:2:2": lambda: deep_heic(chroma=422),
    "heic, 10 bits, 4:4:4": lambda: deep_heic(chroma=444),
    "transparent heic, 10 bits": lambda: deep_heic("RGBA"),
    "transparent heic, 10 bits, 4:4:4": lambda: deep_heic("RGBA", chroma=444),
    "turned heic of odd sides": lambda: encoded(odd(), "HEIF", exif=SIDEWAYS),
    "turned heic, 4:4:4": lambda: encoded(odd(), "HEIF", exif=SIDEWAYS, chroma=444),
    "avif": lambda: encoded(photo(), "AVIF", speed=10),
    "avif, 4:4:4": lambda: encoded(photo(), "AVIF", speed=10, subsampling="4:4:4"),
    "transparent avif": lambda: encoded(clear(), "AVIF", speed=10),
    "avif, 10 bits": lambda: deep.TEN_BITS,
    "avif, 10 bits, 4:4:4": lambda: deep.TEN_BITS_444,
    "transparent avif, 10 bits, 4:4:4": lambda: deep.TEN_BITS_444_ALPHA,
    "avif, 10 bits, 4:4:4, of tiles": lambda: deep.TEN_BITS_444_GRID,
    "avif, 4:4:4, with grain": lambda: deep.EIGHT_BITS_444_GRAIN,
    "turned avif of noise, 4:4:4": lambda: encoded(
        noise(2048, 2048), "AVIF", speed=10, subsampling="4:4:4", exif=SIDEWAYS
    ),
    "webp": lambda: encoded(photo(), "WEBP", method=0),
    "lossless webp": lambda: encoded(photo(), "WEBP", lossless=True, **QUICK),
    "transparent webp": lambda: encoded(clear(), "WEBP", method=0),
    "transparent lossless webp": lambda: encoded(clear(), "WEBP", lossless=True, **QUICK),
    "animated webp": lambda: animated_webp((4000, 3000), webp_frame(clear(), **QUICK)),
    "lossless webp, transparent all over": lambda: encoded(misty(), "WEBP", lossless=True, **QUICK),
    "medium webp": lambda: encoded(medium(), "WEBP", lossless=True, **QUICK),
}

AS_ABOVE = (
    "avif",
    "avif, 4:4:4",
    "transparent avif",
    "avif, 10 bits",
    "avif, 10 bits, 4:4:4",
    "transparent avif, 10 bits, 4:4:4",
    "avif, 10 bits, 4:4:4, of tiles",
    "avif, 4:4:4, with grain",
    "heic",
    "heic of tiles",
    "transparent heic",
    "heic, 10 bits",
    "heic, 10 bits, 4:2:2",
    "heic, 10 bits, 4:4:4",
    "transparent heic, 10 bits",
    "transparent heic, 10 bits, 4:4:4",
    "turned heic, 4:4:4",
    "heic of noise, 10 bits, 4:4:4, lossless",
    "transparent heic of noise, 10 bits, 4:4:4",
    "jpeg",
    "progressive cmyk jpeg",
    "cmyk jpeg of two components in a scan",
    "turned tiff",
    "transparent tiff of one strip",
    "tiff of one strip, 16 bits",
    "cmyk tiff of one strip, a jpeg inside",
    "webp",
    "lossless webp",
    "transparent webp",
    "transparent lossless webp",
)
UNSCALED = {name: PICTURES[name] for name in AS_ABOVE} | {
    "cmyk jpeg": lambda: jpeg(photo().convert("CMYK"), exif=SIDEWAYS),
    "transparent png": lambda: encoded(clear(), "PNG", exif=SIDEWAYS),
    "transparent tiff": lambda: encoded(clear(), "TIFF"),
}


def test_a_large_jpeg_takes_under_four_times_its_size(tmp_path: Path) -> None:
    size, _, peak, charged = measured(large_photo(), tmp_path)
    assert 15_000_000 < size < 21_000_000
    assert peak < 4 * size
    assert peak <= size + charged


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES.keys())
def test_a_picture_takes_at_most_its_body_and_eight_bytes_a_pixel(
    make: Make, tmp_path: Path
) -> None:
    size, pixels, peak, charged = measured(made(make), tmp_path)
    assert peak <= size + BOUND * pixels
    assert peak <= size + charged


@pytest.mark.parametrize("make", UNSCALED.values(), ids=UNSCALED.keys())
def test_pictures_that_are_not_scaled_take_no_more(make: Make, tmp_path: Path) -> None:
    size, pixels, peak, charged = measured(made(make), tmp_path, max_side=0)
    assert peak <= size + BOUND * pixels
    assert peak <= size + charged
