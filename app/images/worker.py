"""The worker process: makes of each picture a JPEG that the upstream takes.

Upright, the first frame, sRGB, on white, 8 bits a sample, no side over MAX_SIDE: by Pillow and
pillow-heif. It reads files from the socket that is its stdin, and answers there. Run as
`python -m app.images.worker MEMORY_BYTES TIMEOUT_S MAX_PIXELS MAX_SIDE`; 0 is no limit.
"""

import contextlib
import io
import math
import os
import resource
import signal
import socket
import sys
import warnings
from pathlib import Path

import PIL.AvifImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from app.images import messages
from app.images.messages import ANSWER, MAX_FILE_BYTES, MIN_SIDE, REQUEST, SIZE, Code

ALARM_AFTER_S = 2  # After the service's own deadline, should the service hang or be killed.
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


def main() -> None:
    """Answer until the service goes, or until a picture used up the memory."""
    memory_bytes, timeout_s, max_pixels, max_side = (int(text) for text in sys.argv[1:5])
    restrict(memory_bytes)
    service = socket.socket(fileno=0)
    service.sendall(ANSWER.pack(Code.READY, 0))
    while len(head := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        file = sys.stdin.buffer.read(*REQUEST.unpack(head))
        signal.alarm(timeout_s + ALARM_AFTER_S if timeout_s else 0)  # Ends C code too.
        try:
            code, content = prepare(file, max_pixels, max_side)
        except MemoryError:
            return  # It may have left anything behind; the service sees the end.
        except Exception as exc:  # noqa: BLE001 - decoders raise anything
            code, content = Code.UNREADABLE, type(exc).__name__.encode()
        del file
        signal.alarm(0)
        service.sendall(ANSWER.pack(code, len(content)) + content)


def restrict(memory_bytes: int) -> None:
    """Bound this process; after the imports, whose address space counts too."""
    if sys.platform == "linux":  # macOS refuses every RLIMIT_AS.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        # First to be killed; niceness counts within a session alone, but for its own (sched(7)).
        for name, value in (("oom_score_adj", 1000), ("autogroup", messages.NICENESS)):
            with contextlib.suppress(OSError):
                Path("/proc/self", name).write_text(str(value), encoding="ascii")
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    os.dup2(1, 2)  # What C libraries print of a picture is no line of the service's log.


def prepare(file: bytes, max_pixels: int, max_side: int) -> tuple[Code, bytes]:
    """A JPEG file, or that its size is refused; raises `MemoryError`, or anything for damage."""
    # Pillow refuses twice as many when it opens a file, WebP before it allocates them.
    Image.MAX_IMAGE_PIXELS = math.ceil(max_pixels / 2) or None
    try:
        image = Image.open(io.BytesIO(file), formats=FORMATS)
    except Image.DecompressionBombError:
        return Code.SIZE_REFUSED, b""
    width, height = image.size  # `draft` changes it.
    if messages.size_problem(width, height, max_pixels):
        return Code.SIZE_REFUSED, SIZE.pack(width, height)
    try:
        small = _upright(image, max_side or max(image.size))
        for quality in QUALITIES:
            out = io.BytesIO()
            small.save(out, "JPEG", quality=quality)
            if out.tell() <= MAX_FILE_BYTES:
                return Code.PREPARED, out.getvalue()
    except Exception as exc:
        # Most decoders call it damage when an allocation fails.
        limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
        if 0 < limit_bytes < width * height * WORST_BYTES_PER_PIXEL + BASE_BYTES:
            raise MemoryError from exc
        raise
    raise MemoryError  # Too large at any quality.


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
        small = ImageOps.scale(small, scale, Image.Resampling.LANCZOS)
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc or b""))
        transform = ImageCms.buildTransform(profile, SRGB, small.mode, "RGB")
        small = ImageCms.applyTransform(small, transform) or small
    small = small if small.mode in ("L", "RGB") else small.convert("RGB")
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
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)


if __name__ == "__main__":
    main()
