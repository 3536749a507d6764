"""Makes one picture a JPEG that the upstream takes, in a worker process: Pillow and pillow-heif.

Upright, the first frame, sRGB, on white, 8 bits a sample, no side over `max_side`.
"""

import io
import math
import resource
import warnings

import PIL.AvifImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from app.images.messages import MAX_FILE_BYTES, MIN_SIDE, SIZE, Code, size_problem

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")
ORIENTATION, BAND_ROWS, QUALITIES = 0x0112, 64, (90, 80, 70, 60, 40)
CLOSE_TO_MAX_SIDE = 7 / 8
"""Sides are divided by whole numbers, which is quick, while they stay above this part of it."""
WORST_BYTES_PER_PIXEL, BASE_BYTES = 18, 100 << 20
"""Most that decoding takes (WebP; HEIC of 10 bits in 4:4:4), measured."""

warnings.simplefilter("ignore")
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
pillow_heif.options.DECODE_THREADS = PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1
PIL.TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader makes an object of each strip.
Image.preinit()
SRGB = ImageCms.createProfile("sRGB")


class Refused(Exception):
    """The answer to a picture that is refused."""

    def __init__(self, code: Code, content: bytes = b"") -> None:
        super().__init__(code, content)
        self.code, self.content = code, content


def prepare(file: bytes, max_pixels: int, max_side: int) -> bytes:
    """Return the JPEG file; 0 is no limit. What is damaged raises anything.

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
    """Divide the sides, in bands of plain samples: no second picture of this size is held."""
    step = BAND_ROWS * by
    mode = "CMYK" if image.mode == "CMYK" else "L" if image.mode[0] in "1LI" else "RGB"
    mode = "RGB" if image.has_transparency_data else mode
    small = Image.new(mode, (math.ceil(image.width / by), math.ceil(image.height / by)))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        small.paste(plain(band, mode).reduce(by), (0, top // by))
    return small


def plain(image: Image.Image, mode: str) -> Image.Image:
    """Return it with 8 bits a sample and without transparency, in this mode."""
    if image.mode.startswith("I;16"):
        return image.point(lambda level: level * (1 / 256) + 0).convert(mode)
    if image.mode in ("I", "F", "LAB"):
        raise Refused(Code.UNREADABLE, b"samples without a scale")
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def fitted(image: Image.Image, max_side: int) -> Image.Image:
    """No side over `max_side`, unless the other one would be too short."""
    scale = max(max_side / max(image.size), MIN_SIDE / min(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image


def in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert from the file's profile; one that cannot be used is passed over."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc or b""))
        transform = ImageCms.buildTransform(profile, SRGB, image.mode, "RGB")
        image = ImageCms.applyTransform(image, transform) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def jpeg_file(image: Image.Image) -> bytes:
    """Encode it so that the upstream takes the file."""
    for quality in QUALITIES:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if out.tell() <= MAX_FILE_BYTES:
            return out.getvalue()
    raise Refused(Code.TOO_COMPLEX)
