"""Pictures as people have them: what goes upstream of each, or how it is refused."""

import io
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from PIL import Image, ImageCms, ImageOps

from app.errors import (
    ImageDimensions,
    ImageMissing,
    ImageTooLarge,
    ImageTypeUnsupported,
    ImageUnreadable,
    ServiceError,
)
from app.images import ImageLimits, Intake
from app.images.limits import MIN_SIDE
from tests.images.files import (
    Make,
    chunk,
    difference,
    encoded,
    exif,
    jpeg,
    noise,
    png,
    scene,
    segment,
    sent,
    swapped_profile,
    turned,
    with_chunk,
    with_segment,
)

LIMITS = ImageLimits(max_side=256, max_pixels=1_000_000, max_bytes=2_000_000)


@dataclass(frozen=True)
class Goes:
    """It goes upstream and looks like this; `same` when not a byte is changed."""

    like: Callable[[], Image.Image] = scene
    same: bool = False
    tolerance: float = 6
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Refused:
    why: type[ServiceError]
    saying: str = ""


@dataclass(frozen=True)
class Case:
    name: str
    make: Make = field(repr=False)
    then: Goes | Refused


def grey() -> Image.Image:
    return scene().convert("L")


def lab() -> Image.Image:
    srgb, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(scene(), srgb, target, outputMode="LAB")
    assert converted
    return converted


def contrast() -> Image.Image:
    """Black to white, as samples without a scale are shown."""
    return ImageOps.autocontrast(grey())


def cut_out() -> Image.Image:
    """The scene with its right half transparent."""
    image = scene().convert("RGBA")
    image.paste((0, 0, 0, 0), (32, 0, 64, 48))
    return image


def deep() -> Image.Image:
    return grey().convert("I").point(lambda level: level * 257).convert("I;16")


def half() -> Image.Image:
    return scene().resize((32, 24), Image.Resampling.BOX)


def paletted() -> Image.Image:
    return scene().quantize(64)


def transparent_palette() -> bytes:
    image = cut_out().quantize(64)
    return encoded(image, "PNG")


def frames(count: int) -> bytes:
    others = [Image.new("P", (64, 48), n % 2) for n in range(count - 1)]
    return encoded(paletted(), "GIF", save_all=True, append_images=others)


def many_frames() -> bytes:
    """A GIF of 10,000 frames: the second one, made of few bytes, 9,999 times."""
    two = frames(2)
    first, second = frames(1)[:-1], two[len(frames(1)) - 1 : -1]
    return first + second * 9_999 + b";"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_00), 9)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_of(**tags: int) -> bytes:
    """A TIFF's header and directory, and nothing of the picture."""
    names = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}
    names |= {"offset": 273, "samples": 277, "rows": 278, "length": 279}
    names |= {"tile_width": 322, "tile_height": 323, "tile_offset": 324, "tile_length": 325}
    entries = sorted((names[name], value) for name, value in tags.items())
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + bytes(64)


def webp_header(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_run_lengths(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 66, 0, 0, 62) + info + bytes(8) + b"\2\1\0\1"


def floats(low: float, high: float) -> bytes:
    image = grey().convert("F").point(lambda level: level * ((high - low) / 255) + low)
    return encoded(image, "TIFF")


FORMATS = [
    Case("a clean jpeg", jpeg, Goes(same=True, tolerance=3)),
    Case("a progressive jpeg", lambda: jpeg(progressive=True), Goes(same=True, tolerance=3)),
    Case("a clean png", png, Goes(same=True, tolerance=0)),
    Case("an interlaced png", lambda: png(interlace=1), Goes(same=True, tolerance=0)),
    Case("a webp", lambda: encoded(scene(), "WEBP", quality=95), Goes(tolerance=8)),
    Case("a lossless webp", lambda: encoded(scene(), "WEBP", lossless=True), Goes()),
    Case(
        "an animated webp",
        lambda: encoded(
            scene(),
            "WEBP",
            save_all=True,
            append_images=[Image.new("RGB", (64, 48))],
            lossless=True,
        ),
        Goes(),
    ),
    Case("a gif", lambda: encoded(paletted(), "GIF"), Goes(paletted)),
    Case("a gif of two frames", lambda: frames(2), Goes(paletted)),
    Case("a bmp", lambda: encoded(scene(), "BMP"), Goes()),
    Case("a tiff", lambda: encoded(scene(), "TIFF"), Goes()),
    Case("a tiff of lzw strips", lambda: encoded(scene(), "TIFF", compression="tiff_lzw"), Goes()),
    Case(
        "a tiff with a jpeg inside",
        lambda: encoded(scene(), "TIFF", compression="jpeg", quality=95),
        Goes(tolerance=8),
    ),
    Case("a big tiff", lambda: encoded(scene(), "TIFF", big_tiff=True), Goes()),
    Case("a heic", lambda: encoded(scene(), "HEIF", quality=95), Goes(tolerance=10)),
    Case("an avif", lambda: encoded(scene(), "AVIF", quality=95), Goes(tolerance=10)),
    Case(
        "an apng",
        lambda: png(save_all=True, append_images=[Image.new("RGB", (64, 48))]),
        Goes(tolerance=0),
    ),
]

MODES = [
    Case("png 1", lambda: png(scene().convert("1")), Goes(lambda: scene().convert("1"), same=True)),
    Case("png L", lambda: png(grey()), Goes(grey, same=True)),
    Case(
        "png LA",
        lambda: png(cut_out().convert("LA")),
        Goes(lambda: cut_out().convert("LA"), same=True),
    ),
    Case("png P", lambda: png(paletted()), Goes(paletted, same=True)),
    Case("png P, transparent", transparent_palette, Goes(cut_out, same=True)),
    Case("png RGBA", lambda: png(cut_out()), Goes(cut_out, same=True)),
    Case("png 16-bit", lambda: png(deep()), Goes(grey)),
    Case("png 16-bit, large", lambda: png(deep().resize((640, 480))), Goes(grey, size=(256, 192))),
    Case("jpeg L", lambda: jpeg(grey()), Goes(grey, same=True)),
    Case("jpeg CMYK", lambda: jpeg(scene().convert("CMYK")), Goes()),
    Case("gif with a transparent colour", lambda: encoded(cut_out(), "GIF"), Goes(cut_out)),
    Case(
        "bmp 1",
        lambda: encoded(scene().convert("1"), "BMP"),
        Goes(lambda: scene().convert("1"), tolerance=25),
    ),
    Case(
        "tiff 1",
        lambda: encoded(scene().convert("1"), "TIFF"),
        Goes(lambda: scene().convert("1"), tolerance=25),
    ),
    Case(
        "tiff LA",
        lambda: encoded(cut_out().convert("LA"), "TIFF"),
        Goes(lambda: cut_out().convert("LA")),
    ),
    Case("tiff P", lambda: encoded(paletted(), "TIFF"), Goes(paletted)),
    Case("tiff RGBA", lambda: encoded(cut_out(), "TIFF"), Goes(cut_out)),
    Case("tiff CMYK", lambda: encoded(scene().convert("CMYK"), "TIFF"), Goes()),
    Case("tiff YCbCr", lambda: encoded(scene().convert("YCbCr"), "TIFF"), Goes()),
    Case("tiff 16-bit", lambda: encoded(deep(), "TIFF"), Goes(grey)),
    Case("tiff 32-bit integers", lambda: encoded(grey().convert("I"), "TIFF"), Goes(contrast)),
    Case("tiff floats", lambda: floats(-3.5, 9.25), Goes(contrast)),
    Case("tiff of one float", lambda: floats(7, 7), Goes(lambda: Image.new("L", (64, 48)))),
    Case(
        "tiff of no numbers",
        lambda: floats(float("nan"), 1),
        Refused(ImageUnreadable, "not numbers"),
    ),
    Case("tiff LAB", lambda: encoded(lab(), "TIFF"), Goes(tolerance=10)),
    Case("webp RGBA", lambda: encoded(cut_out(), "WEBP", lossless=True), Goes(cut_out)),
    Case("avif RGBA", lambda: encoded(cut_out(), "AVIF", quality=95), Goes(cut_out, tolerance=10)),
    Case("heic RGBA", lambda: encoded(cut_out(), "HEIF", quality=95), Goes(cut_out, tolerance=10)),
    Case("heic L", lambda: encoded(grey(), "HEIF", quality=95), Goes(grey, tolerance=10)),
]

TURNED = [
    *(
        Case(
            f"jpeg, orientation {n}",
            lambda n=n: jpeg(  # type: ignore[misc]  # binds the number
                turned(n), exif=exif(orientation=n, gps=True)
            ),
            Goes(),
        )
        for n in range(1, 9)
    ),
    Case("png, orientation 6", lambda: png(turned(6), exif=exif(orientation=6)), Goes()),
    Case(
        "webp, orientation 8",
        lambda: encoded(turned(8), "WEBP", lossless=True, exif=exif(orientation=8)),
        Goes(),
    ),
    Case("tiff, orientation 5", lambda: encoded(turned(5), "TIFF", tiffinfo={274: 5}), Goes()),
    Case(
        "heic, orientation 6",
        lambda: encoded(turned(6), "HEIF", quality=95, exif=exif(orientation=6)),
        Goes(tolerance=10),
    ),
    Case(
        "avif, orientation 3",
        lambda: encoded(turned(3), "AVIF", quality=95, exif=exif(orientation=3)),
        Goes(tolerance=10),
    ),
    Case("jpeg, orientation 9", lambda: jpeg(exif=exif(orientation=9)), Goes(tolerance=3)),
]

COLOURS = [
    Case(
        "jpeg with another profile",
        lambda: jpeg(Image.merge("RGB", scene().split()[::-1]), icc_profile=swapped_profile()),
        Goes(),
    ),
    Case(
        "png with another profile",
        lambda: png(Image.merge("RGB", scene().split()[::-1]), icc_profile=swapped_profile()),
        Goes(),
    ),
    Case(
        "webp with a broken profile",
        lambda: encoded(scene(), "WEBP", lossless=True, icc_profile=b"not a profile"),
        Goes(),
    ),
    Case(
        "grey jpeg with an RGB profile",
        lambda: jpeg(grey(), icc_profile=swapped_profile()),
        Goes(grey),
    ),
]

SIZES = [
    Case("9 x 9", lambda: png(scene(9, 9)), Refused(ImageDimensions, "9 x 9 pixels; both sides")),
    Case("10 x 40", lambda: jpeg(scene(10, 40)), Refused(ImageDimensions, "longer than 10")),
    Case("11 x 11", lambda: png(scene(11, 11)), Goes(lambda: scene(11, 11), same=True)),
    Case("1 x 201", lambda: png(Image.new("L", (1, 201))), Refused(ImageDimensions, "1 x 201")),
    Case("11 x 2201", lambda: jpeg(scene(11, 2201)), Refused(ImageDimensions, "200 times")),
    Case(
        "gif 12 x 2401",
        lambda: encoded(scene(12, 2401), "GIF"),
        Refused(ImageDimensions, "200 times"),
    ),
    Case(
        "11 x 2200",
        lambda: jpeg(scene(11, 2200)),
        Goes(lambda: scene(11, 2200), tolerance=16),
    ),
    Case("30 x 3000", lambda: png(scene(30, 3000)), Goes(lambda: scene(11, 1100), tolerance=16)),
    Case("a large jpeg", lambda: jpeg(scene(1000, 750)), Goes(size=(250, 188))),
    Case("a jpeg not quite twice too large", lambda: jpeg(scene(400, 300)), Goes(size=(256, 192))),
    Case("a large png", lambda: png(scene(1000, 750)), Goes(size=(250, 188))),
    Case(
        "a large png with transparency",
        lambda: png(cut_out().resize((1000, 750))),
        Goes(cut_out, size=(250, 188)),
    ),
    Case(
        "a large heic",
        lambda: encoded(scene(800, 600), "HEIF"),
        Goes(size=(256, 192), tolerance=10),
    ),
    Case("20 MB", lambda: jpeg() + bytes(20 * 2**20), Refused(ImageTooLarge, "at most 2000000")),
    Case("zero bytes", bytes, Refused(ImageMissing, "no bytes")),
    Case("one byte", lambda: b"\xff", Refused(ImageTypeUnsupported, "unknown kind")),
]

BOMBS = [
    Case("png bomb", png_bomb, Refused(ImageDimensions, "50000 x 50000")),
    Case("gif of 10,000 frames", many_frames, Goes(paletted)),
    Case(
        "gif of one vast frame",
        lambda: encoded(paletted(), "GIF").replace(
            struct.pack("<HH", 64, 48), struct.pack("<HH", 65_000, 65_000)
        ),
        Refused(ImageDimensions, "65000 x 65000"),
    ),
    Case(
        "tiff bomb",
        lambda: tiff_of(
            width=60_000,
            height=60_000,
            bits=8,
            compression=8,
            photometric=1,
            offset=200,
            samples=1,
            rows=60_000,
            length=8,
        ),
        Refused(ImageDimensions, "more pixels"),
    ),
    Case(
        "tiff with a vast tile",
        lambda: tiff_of(
            width=64,
            height=48,
            bits=8,
            compression=8,
            photometric=1,
            samples=1,
            tile_width=50_000,
            tile_height=50_000,
            tile_offset=200,
            tile_length=8,
        ),
        Refused(ImageUnreadable, "tiles larger"),
    ),
    Case("webp bomb", lambda: webp_header(16_383, 16_383), Refused(ImageDimensions)),
    Case("bmp bomb", lambda: bmp_run_lengths(2500, 2500), Refused(ImageUnreadable, "run-length")),
    Case("small bmp of run lengths", lambda: bmp_run_lengths(40, 40), Refused(ImageUnreadable)),
    Case("jpeg of many scans", lambda: many_scans(65), Refused(ImageUnreadable, "64 scans")),
    Case(
        "png with a text bomb",
        lambda: with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000))),
        Goes(tolerance=0),
    ),
    Case(
        "png with a profile bomb",
        lambda: with_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(5_000_000))),
        Goes(),
    ),
]


def many_scans(count: int) -> bytes:
    file = jpeg(grey(), progressive=True)
    at = file.rindex(b"\xff\xda")
    return file[:at] + file[at:-2] * count + b"\xff\xd9"


POLYGLOTS = [
    Case("jpeg with a zip behind it", lambda: jpeg() + b"PK\3\4" + bytes(99), Goes(tolerance=3)),
    Case("png with a zip behind it", lambda: png() + b"PK\3\4" + bytes(99), Goes(tolerance=0)),
    Case(
        "jpeg with a page in its comment",
        lambda: with_segment(0xFE, b"<script>alert(1)</script>"),
        Goes(tolerance=3),
    ),
    Case(
        "jpeg with a page in its JFIF header",
        lambda: jpeg().replace(jpeg()[2:20], segment(0xE0, b"JFIF\0" + bytes(9) + b"<script>")),
        Goes(tolerance=3),
    ),
    Case(
        "png with a page in a gamma chunk",
        lambda: with_chunk(b"gAMA", b"<script>alert(1)</script><b>PK"[:30] + bytes(9)),
        Goes(tolerance=0),
    ),
    Case(
        "gif that is a script",
        lambda: encoded(paletted(), "GIF") + b"*/=1;alert(1)",
        Goes(paletted),
    ),
    Case(
        "jpeg with junk between segments",
        lambda: jpeg()[:20] + b"junk" + jpeg()[20:],
        Goes(tolerance=3),
    ),
    Case(
        "jpeg with filling between segments",
        lambda: jpeg()[:20] + b"\xff\xff" + jpeg()[20:],
        Goes(tolerance=3),
    ),
]

WHOLE = {
    "jpeg": lambda: jpeg(scene(200, 150)),
    "progressive jpeg": lambda: jpeg(scene(200, 150), progressive=True),
    "png": lambda: png(scene(200, 150)),
    "webp": lambda: encoded(scene(200, 150), "WEBP"),
    "gif": lambda: encoded(noise(80, 60).quantize(), "GIF"),
    "bmp": lambda: encoded(scene(80, 60), "BMP"),
    "tiff": lambda: encoded(noise(80, 60), "TIFF", compression="tiff_lzw"),
    "heic": lambda: encoded(noise(80, 60), "HEIF"),
    "avif": lambda: encoded(noise(80, 60), "AVIF"),
}

CASES = [*FORMATS, *MODES, *TURNED, *COLOURS, *SIZES, *BOMBS, *POLYGLOTS]


@pytest.fixture
async def intake() -> AsyncIterator[Intake]:
    taken = Intake(LIMITS)
    yield taken
    await taken.close()
    assert taken.inflight.used_bytes == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_picture_arrives_or_is_refused_with_its_reason(
    case: Case, intake: Intake
) -> None:
    body = case.make()
    if isinstance(case.then, Refused):
        with pytest.raises(ServiceError) as refusal:
            await intake.take_in(body)
        assert type(refusal.value) is case.then.why
        assert case.then.saying in refusal.value.detail
        return
    file = sent(await intake.take_in(body))
    arrived = Image.open(io.BytesIO(file))
    arrived.load()
    expected = case.then.like()
    size = case.then.size or expected.size
    assert (file == body) is case.then.same
    assert arrived.size == size
    assert max(size) <= LIMITS.max_side or min(size) == MIN_SIDE
    if case.then.size:
        expected = expected.convert("RGBA").resize(size)
    assert difference(arrived, expected) <= case.then.tolerance


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("kind", WHOLE)
async def test_a_truncated_file_is_refused(kind: str, tenth: int, intake: Intake) -> None:
    body = WHOLE[kind]()
    with pytest.raises((ImageUnreadable, ImageTypeUnsupported)) as refusal:
        await intake.take_in(body[: len(body) * tenth // 10])
    assert refusal.value.detail.endswith(".")


@pytest.mark.parametrize("kind", WHOLE)
async def test_a_whole_file_is_taken(kind: str, intake: Intake) -> None:
    await intake.take_in(WHOLE[kind]())


def test_the_table_has_at_least_sixty_files() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
