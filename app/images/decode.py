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
CLOSE_TO_MAX_SIDE = 7 / 8  # Down to here sides are divided by whole numbers, which is quick.
WORST_BYTES_PER_PIXEL, BASE_BYTES = 18, 100 << 20  # Measured: WebP; HEIC of 10 bits in 4:4:4.

warnings.simplefilter("ignore")
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
pillow_heif.options.DECODE_THREADS = PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1
PIL.TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader makes an object of each strip.
Image.preinit()
SRGB = ImageCms.createProfile("sRGB")


def prepare(file: bytes, max_pixels: int, max_side: int) -> tuple[Code, bytes]:
    """A JPEG file, or that its size is refused; raises `MemoryError`, or anything for damage."""
    # Pillow refuses twice as many when it opens a file, WebP before it allocates them.
    Image.MAX_IMAGE_PIXELS = math.ceil(max_pixels / 2) or None
    try:
        image = Image.open(io.BytesIO(file), formats=FORMATS)
    except Image.DecompressionBombError:
        return Code.SIZE_REFUSED, b""
    width, height = image.size  # `draft` changes it.
    if size_problem(width, height, max_pixels):
        return Code.SIZE_REFUSED, SIZE.pack(width, height)
    try:
        return Code.PREPARED, _jpeg_file(_upright(image, max_side or max(image.size)))
    except Exception as exc:
        # Most decoders call it damage when an allocation fails.
        limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
        if 0 < limit_bytes < width * height * WORST_BYTES_PER_PIXEL + BASE_BYTES:
            raise MemoryError from exc
        raise


def _upright(image: Image.Image, max_side: int) -> Image.Image:
    by = _divisor(image, max_side)
    image.draft(None, (image.width // by, image.height // by))
    image.load()
    icc, orientation = image.info.get("icc_profile"), image.getexif().get(ORIENTATION, 1)
    small = _divided(image, _divisor(image, max_side))
    image.close()
    # No side over `max_side`, unless the other one would be too short.
    scale = max(max_side / max(small.size), MIN_SIDE / min(small.size))
    if scale < 1:
        size = (round(small.width * scale), round(small.height * scale))
        small = small.resize(size, Image.Resampling.LANCZOS)
    small = _in_srgb(small, icc)
    small.getexif()[ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
    small.info.clear()
    return small


def _divisor(image: Image.Image, max_side: int) -> int:
    by = int(max(image.size) / (max_side * CLOSE_TO_MAX_SIDE))
    return max(1, min(by, min(image.size) // MIN_SIDE))


def _divided(image: Image.Image, by: int) -> Image.Image:
    """Divide the sides, in bands of plain samples: no second picture of this size is held."""
    step = BAND_ROWS * by
    mode = "CMYK" if image.mode == "CMYK" else "L" if image.mode[0] in "1LI" else "RGB"
    mode = "RGB" if image.has_transparency_data else mode
    small = Image.new(mode, (math.ceil(image.width / by), math.ceil(image.height / by)))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        small.paste(_plain(band, mode).reduce(by), (0, top // by))
    return small


def _plain(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        return image.point(lambda level: level * (1 / 256) + 0).convert(mode)
    if image.mode in ("I", "F", "LAB"):
        raise ValueError("samples without a scale")
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc or b""))
        transform = ImageCms.buildTransform(profile, SRGB, image.mode, "RGB")
        image = ImageCms.applyTransform(image, transform) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _jpeg_file(image: Image.Image) -> bytes:
    for quality in QUALITIES:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if out.tell() <= MAX_FILE_BYTES:
            return out.getvalue()
    raise MemoryError
