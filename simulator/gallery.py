"""The pictures that a search can find, and those that are searched with.

Each becomes one vector of its colours and where these are; similar pictures have near vectors. It
is measured on a small copy, so that size and compression hardly count.
"""

import base64
import hashlib
import io
import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simulator.pictures import PICTURES, Picture
from simulator.record import InputImage
from simulator.refusals import REFUSALS, Refused, invalid

Vector = NDArray[np.float64]

NAMES: Final = frozenset(picture.name for picture in PICTURES)
_SMALL: Final = (64, 48)
_GRID: Final = (8, 6)
# Shades of each colour channel that the histogram tells apart.
_SHADES: Final = 4
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
    vector: Vector


@cache
def jpeg(name: str) -> bytes:
    """The file of this picture, drawn once in a process; raises `KeyError` if there is none."""
    return {picture.name: picture for picture in PICTURES}[name].jpeg()


def nearest(wanted: Vector, count: int) -> list[Picture]:
    """The pictures most like the described one, nearest first; at most the whole gallery."""
    distances = np.linalg.norm(_vectors() - wanted, axis=1)
    return [PICTURES[row] for row in np.argsort(distances, kind="stable")[:count]]


def load(url: str) -> SearchImage:
    """Decode and describe one image, or raise `Refused`. No EXIF orientation is applied."""
    if url.startswith("data:"):
        return _decode(_read_data(url))
    if url.startswith(GALLERY_URL):
        name = url.removeprefix(GALLERY_URL).removesuffix(".jpg")
        if name not in NAMES:
            raise Refused(REFUSALS["media_not_found"])
        return _decode(jpeg(name))
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
                vector = _describe(image.convert("RGB"))
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


def _describe(image: Image.Image) -> Vector:
    """The vector of an RGB image of any size."""
    small = image.resize(_SMALL, Image.Resampling.BOX)
    grid = np.asarray(small.resize(_GRID, Image.Resampling.BOX), dtype=np.float64)
    layout = grid.reshape(-1) / 255 / np.sqrt(_GRID[0] * _GRID[1])
    pixels = np.asarray(small, dtype=np.int64).reshape(-1, 3) * _SHADES // 256
    colours = pixels @ np.array([_SHADES**2, _SHADES, 1])
    histogram = np.sqrt(np.bincount(colours, minlength=_SHADES**3) / len(colours))
    return np.concatenate([layout, histogram / 2])


@cache
def _vectors() -> Vector:
    images = (Image.open(io.BytesIO(jpeg(picture.name))) for picture in PICTURES)
    return np.stack([_describe(image.convert("RGB")) for image in images])
