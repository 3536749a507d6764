"""Damaged files of every kind: a picture comes out, or a refusal of the caller; nothing else."""

import contextlib
import random
import signal
from collections.abc import Iterator

import pytest

from app.errors import CallerError
from app.images.limits import ImageLimits
from app.images.normalise import examine
from tests.images.files import (
    Make,
    animated_webp,
    encoded,
    exif,
    jpeg,
    noise,
    png,
    profile,
    scene,
    text_chunks,
    webp_frame,
)
from tests.images.table import cut_out
from tests.images.test_scans import together

LIMITS = ImageLimits(max_side=64, max_pixels=200_000)
ROUNDS = 720
"""Of each kind: 15,000 files in all."""

HANG_S = 2
"""Of the processor's time: how long a file may take at most."""

SEEDS: dict[str, Make] = {
    "jpeg": lambda: jpeg(exif=exif(orientation=6, gps=True), icc_profile=profile("sRGB")),
    "progressive jpeg": lambda: jpeg(scene(120, 90), progressive=True, optimize=True),
    "cmyk jpeg": lambda: jpeg(scene().convert("CMYK")),
    "progressive cmyk jpeg": lambda: jpeg(
        scene(40, 30).convert("CMYK"), progressive=True, restart_marker_blocks=7
    ),
    "jpeg in scans": lambda: together(scene(40, 30).split(), adobe=0),
    "png": lambda: png(pnginfo=text_chunks(), exif=exif(orientation=3)),
    "paletted png": lambda: png(scene(120, 90).quantize(16), interlace=1),
    "16-bit png": lambda: png(scene().convert("I;16")),
    "gif": lambda: encoded(noise(40, 30).quantize(), "GIF", comment=b"hello"),
    "bmp": lambda: encoded(scene().quantize(16), "BMP"),
    "tiff": lambda: encoded(noise(40, 30), "TIFF", compression="tiff_lzw"),
    "tiff of one strip": lambda: encoded(
        noise(40, 30), "TIFF", compression="tiff_adobe_deflate", strip_size=1 << 20
    ),
    "tiled tiff": lambda: encoded(scene(), "TIFF", compression="jpeg"),
    "webp": lambda: encoded(scene(), "WEBP", exif=exif(orientation=6)),
    "lossless webp": lambda: encoded(scene().convert("RGBA"), "WEBP", lossless=True),
    "webp with transparency": lambda: encoded(cut_out(), "WEBP", icc_profile=profile("sRGB")),
    "animated webp": lambda: animated_webp(
        (80, 60), webp_frame(cut_out(), (10, 6), lossless=False), webp_frame(scene())
    ),
    "heic": lambda: encoded(scene(), "HEIF", exif=exif(orientation=6)),
    "heic of tiles": lambda: encoded(noise(80, 60), "HEIF", tile_size=32, exif=exif(orientation=5)),
    "heic with transparency": lambda: encoded(cut_out().crop((0, 0, 63, 47)), "HEIF"),
    "avif": lambda: encoded(scene(), "AVIF", speed=10),
    "avif with transparency": lambda: encoded(cut_out(), "AVIF", speed=10),
}


def damaged(file: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or set to an extreme; the signature mostly stays."""
    body = bytearray(file)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(min(4, len(body) - 1), len(body))
        length = chance.choice((1, 2, 4, 40))
        change = chance.randrange(4)
        if change == 0:
            body[at] = chance.randrange(256)
        elif change == 1:
            body[at : at + length] = chance.choice((b"\0", b"\xff", b"\x7f")) * length
        elif change == 2:
            del body[at : at + length]
        else:
            body[at:at] = body[at : at + length]
        if len(body) < 8:
            break
    return bytes(body)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Fail where the work goes on for longer, by the clock of the processor (setitimer(2))."""
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@pytest.fixture(autouse=True)
def _hang() -> Iterator[None]:
    def fail(_number: int, _frame: object) -> None:
        pytest.fail(f"a file took more than {HANG_S} seconds")

    before = signal.signal(signal.SIGPROF, fail)
    yield
    signal.signal(signal.SIGPROF, before)


@pytest.mark.filterwarnings("ignore")  # decoders remark on what they read over
@pytest.mark.parametrize("kind", SEEDS)
def test_a_damaged_file_is_read_or_refused(kind: str) -> None:
    file = SEEDS[kind]()
    chance = random.Random(kind)
    for _ in range(ROUNDS):
        body = damaged(file, chance)
        with watched(), contextlib.suppress(CallerError):
            taken = examine(memoryview(body), LIMITS).finish()
            assert taken.url.startswith(b"data:image/")
