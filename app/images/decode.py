"""One picture to a JPEG that the upstream takes. Runs in a worker process: Pillow, pillow-heif.

Upright, its first frame, in sRGB, on white, 8 bits a sample, no side over `max_side`.
"""

import io
import math
import resource
import warnings
from collections.abc import Callable
from typing import cast

import pillow_heif
from PIL import (
    AvifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from app.images.limits import MAX_FILE_BYTES, MIN_SIDE, size_problem
from app.images.messages import SIZE, Code

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")
ORIENTATION = 0x0112
"""The EXIF tag (Exif 2.32 §4.6.4)."""

BAND_ROWS = 64
QUALITIES = (90, 80, 70, 60)
SHRINK = 0.7
"""Of each side, when no quality makes the file small enough: half the pixels."""

CLOSE_TO_MAX_SIDE = 7 / 8
"""Sides are divided by whole numbers, which is quick, while they stay above this."""

WORST_BYTES_PER_PIXEL, BASE_BYTES = 18, 100 << 20
"""What decoding takes at most, measured (WebP; HEIC of 10 bits in 4:4:4), and what each takes."""

Level = Callable[[Image.Image], Image.Image]

warnings.simplefilter("ignore")
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
pillow_heif.options.DECODE_THREADS = 1
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader holds a list of all strips.
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is checked here.
Image.preinit()


class Refused(Exception):
    """The picture is refused: the answer's code and content."""

    def __init__(self, code: Code, content: bytes = b"") -> None:
        super().__init__(code)
        self.code = code
        self.content = content


def prepare(file: bytes, *, max_pixels: int, max_side: int) -> bytes:
    """Return the file of the JPEG. `0` is no limit.

    Raises:
        Refused: Its size is not accepted, or decoding it ran out of memory.
        MemoryError: As it says.
        Exception: The file is cut off or damaged; what decoders raise for it differs.
    """
    try:
        image = Image.open(io.BytesIO(file), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused(Code.UNREADABLE, b"no decoder knows it") from None
    width, height = image.size  # `draft` changes it.
    if size_problem(width, height, max_pixels=max_pixels):
        raise Refused(Code.SIZE_REFUSED, SIZE.pack(width, height))
    try:
        return jpeg_file(scaled(image, max_side or max(image.size)))
    except (Refused, MemoryError):
        raise
    except Exception as exc:
        # Most decoders call it damage when an allocation fails.
        limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
        if 0 < limit_bytes < width * height * WORST_BYTES_PER_PIXEL + BASE_BYTES:
            raise Refused(Code.TOO_COMPLEX) from exc
        raise


def scaled(image: Image.Image, max_side: int) -> Image.Image:
    """Decode, and make the picture small, plain and upright."""
    by = divisor(image.size, max_side)
    image.draft(None, (image.width // by, image.height // by))
    image.load()
    icc, orientation = image.info.get("icc_profile"), image.getexif().get(ORIENTATION, 1)
    small = fitted(reduced(image, divisor(image.size, max_side)), max_side)
    image.close()
    small = in_srgb(small, icc)
    small.getexif()[ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
    small.info.clear()
    return small


def divisor(size: tuple[int, int], max_side: int) -> int:
    """Return the whole number that brings the sides close to `max_side`, from above."""
    by = int(max(size) / (max_side * CLOSE_TO_MAX_SIDE))
    return max(1, min(by, min(size) // MIN_SIDE))


def reduced(image: Image.Image, by: int) -> Image.Image:
    """Divide the sides, in bands: no second picture of this size is held."""
    width, height = image.size
    plain = to_plain(image)
    small: Image.Image | None = None
    for top in range(0, height, BAND_ROWS * by):
        bottom = min(top + BAND_ROWS * by, height)
        band = plain(image.crop((0, top, width, bottom))).reduce(by)
        if small is None:
            small = Image.new(band.mode, (math.ceil(width / by), math.ceil(height / by)))
        small.paste(band, (0, top // by))
    assert small is not None
    return small


def to_plain(image: Image.Image) -> Level:
    """Return what makes a band of this picture L, RGB or CMYK of 8 bits, on white."""
    if image.mode.startswith("I;16"):
        return lambda band: band.point(lambda level: level * (1 / 256) + 0).convert("L")
    if image.mode in ("I", "F"):
        low, high = cast("tuple[float, float]", image.getextrema())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise Refused(Code.UNREADABLE, b"samples that are not numbers")
        # Such samples have no scale of their own: the least is black, the most white.
        factor = 255 / (high - low) if high > low else 0.0
        return lambda band: band.point(lambda level: level * factor - low * factor).convert("L")
    if image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return lambda band: ImageCms.applyTransform(band, transform) or band
    if image.has_transparency_data:
        return on_white
    mode = image.mode if image.mode in ("L", "RGB", "CMYK") else "L" if image.mode == "1" else "RGB"
    return lambda band: band.convert(mode)


def on_white(image: Image.Image) -> Image.Image:
    """Return it without transparency."""
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def fitted(image: Image.Image, max_side: int) -> Image.Image:
    """No side over `max_side`, unless the other one would be too short for the upstream."""
    short, long = sorted(image.size)
    if long <= max_side or short <= MIN_SIDE:
        return image
    scale = max(max_side / long, MIN_SIDE / short)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def in_srgb(image: Image.Image, icc: object) -> Image.Image:
    """Convert from the file's profile; one that cannot be used is passed over."""
    if isinstance(icc, bytes) and icc:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(icc), srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted:
            return converted
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def jpeg_file(image: Image.Image) -> bytes:
    """Encode it so that the upstream takes the file."""
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= MAX_FILE_BYTES:
                return out.getvalue()
        size = (int(image.width * SHRINK), int(image.height * SHRINK))
        image = image.resize(size, Image.Resampling.LANCZOS)
