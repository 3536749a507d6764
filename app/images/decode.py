"""Makes one picture a JPEG that the upstream takes, in a worker process: Pillow and pillow-heif.

Upright, the first frame, sRGB, on white, 8 bits a sample, no side over `max_side`.
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
    WebPImagePlugin,  # noqa: F401 - else Pillow imports all its plugins at the first picture
)

from app.images.messages import MAX_FILE_BYTES, MIN_SIDE, SIZE, Code, size_problem

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")
ORIENTATION = 0x0112
"""The EXIF tag (Exif 2.32 §4.6.4)."""
BAND_ROWS = 64
CLOSE_TO_MAX_SIDE = 7 / 8
"""Sides are divided by whole numbers, which is quick, while they stay above this part of it."""
QUALITIES, SHRINK = (90, 80, 70, 60), 0.7
"""Tried in turn until the file is small enough; then with shorter sides, half the pixels."""
WORST_BYTES_PER_PIXEL, BASE_BYTES = 18, 100 << 20
"""Most that decoding takes (WebP; HEIC of 10 bits in 4:4:4), measured."""

warnings.simplefilter("ignore")
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
pillow_heif.options.DECODE_THREADS = AvifImagePlugin.DEFAULT_MAX_THREADS = 1
TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader makes an object of each strip.
Image.preinit()


class Refused(Exception):
    """The answer to a picture that is refused."""

    def __init__(self, code: Code, content: bytes = b"") -> None:
        super().__init__(code, content)
        self.code, self.content = code, content


def prepare(file: bytes, max_pixels: int, max_side: int) -> bytes:
    """Return the JPEG file; 0 is no limit. A damaged file raises anything.

    Raises:
        Refused, MemoryError: Its size is not accepted, or it takes too much memory.
    """
    # Pillow refuses twice as many when it opens a file, WebP before it allocates them.
    Image.MAX_IMAGE_PIXELS = math.ceil(max_pixels / 2) or None
    try:
        image = Image.open(io.BytesIO(file), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Refused(Code.SIZE_REFUSED) from None
    width, height = image.size  # `draft` changes it.
    if size_problem(width, height, max_pixels):
        raise Refused(Code.SIZE_REFUSED, SIZE.pack(width, height))
    try:
        return jpeg_file(upright(image, max_side or max(image.size)))
    except (Refused, MemoryError):
        raise
    except Exception as exc:
        # Most decoders call it damage when an allocation fails.
        limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
        if 0 < limit_bytes < width * height * WORST_BYTES_PER_PIXEL + BASE_BYTES:
            raise Refused(Code.TOO_COMPLEX) from exc
        raise


def upright(image: Image.Image, max_side: int) -> Image.Image:
    """Decode it, and make it small, plain and upright."""
    by = divisor(image, max_side)
    image.draft(None, (image.width // by, image.height // by))
    image.load()
    icc, orientation = image.info.get("icc_profile"), image.getexif().get(ORIENTATION, 1)
    small = fitted(divided(image, divisor(image, max_side)), max_side)
    image.close()
    small = in_srgb(small, icc)
    small.getexif()[ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
    small.info.clear()
    return small


def divisor(image: Image.Image, max_side: int) -> int:
    """Return the whole number that brings the sides close to `max_side`."""
    by = int(max(image.size) / (max_side * CLOSE_TO_MAX_SIDE))
    return max(1, min(by, min(image.size) // MIN_SIDE))


def divided(image: Image.Image, by: int) -> Image.Image:
    """Divide the sides, in bands: no second picture of this size is held."""
    width, height = image.size
    plain, top = plain_of(image), BAND_ROWS * by
    first = plain(image.crop((0, 0, width, min(top, height)))).reduce(by)
    small = Image.new(first.mode, (math.ceil(width / by), math.ceil(height / by)))
    small.paste(first)
    for start in range(top, height, top):
        band = plain(image.crop((0, start, width, min(start + top, height))))
        small.paste(band.reduce(by), (0, start // by))
    return small


def plain_of(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return what makes a band of this picture L, RGB or CMYK of 8 bits, on white."""
    if image.mode.startswith("I;16"):
        return lambda band: band.point(lambda level: level * (1 / 256) + 0).convert("L")
    if image.mode in ("I", "F"):
        low, high = cast("tuple[float, float]", image.getextrema())
        if not math.isfinite(low + high):
            raise Refused(Code.UNREADABLE, b"samples that are not numbers")
        # They have no scale: the least is black, the most white.
        factor = 255 / (high - low) if high > low else 0.0
        return lambda band: band.point(lambda level: level * factor - low * factor).convert("L")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return lambda band: ImageCms.applyTransform(band, transform) or band
    if image.has_transparency_data:
        return on_white
    mode = image.mode if image.mode in ("L", "CMYK") else "L" if image.mode == "1" else "RGB"
    return lambda band: band.convert(mode)


def on_white(image: Image.Image) -> Image.Image:
    """Return it without transparency."""
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def fitted(image: Image.Image, max_side: int) -> Image.Image:
    """No side over `max_side`, unless the other one would be too short."""
    short, long = sorted(image.size)
    if long <= max_side or short <= MIN_SIDE:
        return image
    scale = max(max_side / long, MIN_SIDE / short)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert from the file's profile; one that cannot be used is passed over."""
    if icc:
        try:
            srgb = ImageCms.createProfile("sRGB")
            return cast(
                Image.Image,
                ImageCms.profileToProfile(image, io.BytesIO(icc), srgb, outputMode="RGB"),
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def jpeg_file(image: Image.Image) -> bytes:
    """Encode it so that the upstream takes the file."""
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= MAX_FILE_BYTES:
                return out.getvalue()
        image = image.resize((int(image.width * SHRINK), int(image.height * SHRINK)))
