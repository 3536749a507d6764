"""Input images: from a URL to a decoded and checked picture."""

import base64
import hashlib
import io
import warnings
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image

from simulator import gallery
from simulator.record import InputImage
from simulator.refusals import REFUSALS, Refused, invalid

# Recorded calls: the service refuses longer data URLs, and before that longer JSON strings.
DATA_URL_MAX_BYTES: Final = 20_971_520
STRING_MAX_CHARS: Final = 28_000_000
# The vendor's page on vision input: both sides over 10 pixels, no side over 200 times the other.
SIDE_MIN_PX: Final = 11
RATIO_MAX: Final = 200
GALLERY_URL: Final = "https://gallery.example/"

_FORMATS: Final = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "SGI", "TIFF", "WEBP", "ICNS", "ICO")


@dataclass(frozen=True, slots=True, eq=False)
class SearchImage:
    """A decoded input image, and its vector to search with."""

    seen: InputImage
    vector: gallery.Vector


def load(url: str) -> SearchImage:
    """Decode and describe one image, or raise `Refused`. No EXIF orientation is applied."""
    if url.startswith("data:"):
        return _decode(_read_data(url))
    if url.startswith(GALLERY_URL):
        name = url.removeprefix(GALLERY_URL).removesuffix(".jpg")
        if name not in gallery.NAMES:
            raise Refused(REFUSALS["media_not_found"])
        return _decode(gallery.jpeg(name))
    is_web = url.startswith(("http://", "https://"))
    raise Refused(REFUSALS["download_failed" if is_web else "invalid_url"])


def _read_data(url: str) -> bytes:
    if len(url) > STRING_MAX_CHARS:
        rule = f"exceeds the maximum allowed ({STRING_MAX_CHARS})"
        message = f"String value length ({len(url)}) {rule}"
        raise Refused(replace(REFUSALS["string_too_long"], message=message))
    if len(url) > DATA_URL_MAX_BYTES:
        raise Refused(REFUSALS["data_uri_too_large"])
    head, _, payload = url.partition(",")
    if not head.endswith(";base64"):
        raise Refused(REFUSALS["invalid_url"])
    if not head.startswith("data:image/"):
        raise Refused(REFUSALS["media_format"])
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as exc:
        raise Refused(REFUSALS["image_undecodable"]) from exc


def _decode(data: bytes) -> SearchImage:
    try:
        with warnings.catch_warnings():
            # Pillow only warns about decompression bombs, and about odd metadata.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_sides(image.width, image.height)
                vector = gallery.describe(image.convert("RGB"))
                digest = hashlib.sha256(data).hexdigest()
                seen = InputImage(digest, image.width, image.height, image.format or "")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise Refused(REFUSALS["image_size"]) from exc
    except (OSError, ValueError, SyntaxError) as exc:
        raise Refused(REFUSALS["image_undecodable"]) from exc
    return SearchImage(seen, vector)


def _check_sides(width: int, height: int) -> None:
    rule = "The image length and width do not meet the model restrictions."
    if min(width, height) < SIDE_MIN_PX:
        raise invalid(f"{rule} [height:{height} or width:{width} must be larger than 10]")
    ratio = max(width, height) / min(width, height)
    if ratio > RATIO_MAX:
        raise invalid(f"{rule} [absolute aspect ratio must be smaller than 200, got {ratio:g}]")
