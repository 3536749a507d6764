"""Taking in an input image: from its URL to a decoded, checked and described picture."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from PIL import Image, UnidentifiedImageError

from simulator import gallery
from simulator.record import SeenPicture
from simulator.refusal import Refused, invalid
from simulator.refusals import REFUSALS
from simulator.similarity import describe

if TYPE_CHECKING:
    from simulator.similarity import Vector

# Recorded calls: the service refuses longer data URLs and, before that, longer JSON strings.
DATA_URL_MAX_BYTES: Final = 20_971_520
STRING_MAX_CHARS: Final = 28_000_000
# The vendor's page on vision input: both sides over 10 pixels, no side over 200 times the other.
SIDE_MIN_PX: Final = 11
RATIO_MAX: Final = 200
OWN_PICTURES: Final = "https://gallery.example/"

_CACHE_MAX: Final = 512
_FORMATS: Final = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "SGI", "TIFF", "WEBP", "ICNS", "ICO")


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage:
    """A decoded input image, and its place among pictures."""

    picture: SeenPicture
    vector: Vector


class Images:
    """Decodes input images, and remembers the last ones by their URL's digest."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, SeenImage] = OrderedDict()

    def take_in(self, url: str) -> SeenImage:
        """Decode and describe one image. An EXIF orientation is not applied.

        Raises:
            Refused: with the vendor's words for what is wrong with it.
        """
        digest = hashlib.sha256(url.encode("utf-8", "replace")).digest()
        if digest not in self._seen:
            self._seen[digest] = _decode(_read(url))
            if len(self._seen) > _CACHE_MAX:
                self._seen.popitem(last=False)
        return self._seen[digest]


def _read(url: str) -> bytes:
    if url.startswith("data:"):
        return _read_data(url)
    if url.startswith(OWN_PICTURES):
        picture = gallery.find(url.removeprefix(OWN_PICTURES).removesuffix(".jpg"))
        if picture is None:
            raise Refused(REFUSALS["media_not_found"])
        return gallery.jpeg(picture.name)
    known = url.startswith(("http://", "https://"))
    raise Refused(REFUSALS["download_failed" if known else "invalid_url"])


def _read_data(url: str) -> bytes:
    if len(url) > STRING_MAX_CHARS:
        words = f"String value length ({len(url)}) exceeds the maximum allowed ({STRING_MAX_CHARS})"
        raise Refused(replace(REFUSALS["string_too_long"], message=words))
    if len(url) > DATA_URL_MAX_BYTES:
        raise Refused(REFUSALS["data_uri_too_large"])
    head, comma, payload = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Refused(REFUSALS["invalid_url"])
    if not head.startswith("data:image/"):
        raise Refused(REFUSALS["media_format"])
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused(REFUSALS["image_undecodable"]) from exc


def _decode(data: bytes) -> SeenImage:
    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures too large to be honest, and about odd metadata.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                _check_sides(picture.width, picture.height)
                kind = picture.format or ""
                seen = SeenPicture(
                    hashlib.sha256(data).hexdigest(), picture.width, picture.height, kind
                )
                return SeenImage(seen, describe(_opaque(picture)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise Refused(REFUSALS["image_size"]) from exc
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as exc:
        raise Refused(REFUSALS["image_undecodable"]) from exc


def _check_sides(width: int, height: int) -> None:
    rule = "The image length and width do not meet the model restrictions. "
    if min(width, height) < SIDE_MIN_PX:
        raise Refused(invalid(f"{rule}[height:{height} or width:{width} must be larger than 10]"))
    ratio = max(width, height) / min(width, height)
    if ratio > RATIO_MAX:
        raise Refused(
            invalid(f"{rule}[absolute aspect ratio must be smaller than 200, got {ratio:g}]")
        )


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    paper = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(paper, layered).convert("RGB")
