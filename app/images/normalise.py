"""The work on one picture, all of it in a worker's thread: look at it, then make it ready.

`examine` tells what is to be done and what memory that takes; `finish` does it.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from app.errors import ImageDimensions, ImageUnreadable, ServiceError
from app.images import bmp, gif, jpeg, png, tiff
from app.images.arrow import FadingRows, split
from app.images.avif import AvifPicture
from app.images.bands import resize, shrink
from app.images.colour import is_srgb, to_srgb
from app.images.encode import data_url, jpeg_url, url_bytes
from app.images.foreign import give_back
from app.images.heic import HeicPicture
from app.images.libavif import open_libavif
from app.images.libde265 import open_libde265
from app.images.libheif import open_libheif
from app.images.libtiff import open_libtiff
from app.images.libwebp import open_libwebp
from app.images.limits import MAX_URL_BYTES, MIN_SIDE, ImageLimits
from app.images.picture import Picture, PillowPicture, divided, factor
from app.images.progressive import ProgressivePicture, stores_much
from app.images.sniff import HEAD_BYTES, Kind, sniff
from app.images.striped import StripedPicture
from app.images.structure import Structure
from app.images.webp import WebpPicture
from app.images.whole_heic import WholeHeicPicture
from app.models import ImageInput

LIBWEBP, LIBAVIF, LIBTIFF = open_libwebp(), open_libavif(), open_libtiff()
LIBHEIF, LIBDE265 = open_libheif(), open_libde265()
"""Where one is `None`, Pillow or pillow_heif decodes, which takes more memory and is charged so."""

MIME = {Kind.JPEG: "image/jpeg", Kind.PNG: "image/png"}

WALKS: dict[Kind, Callable[[memoryview], Structure | None]] = {
    Kind.JPEG: jpeg.walk,
    Kind.PNG: png.walk,
    Kind.GIF: gif.walk,
}
CHECKS = {Kind.TIFF: tiff.check, Kind.BMP: bmp.check}

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (Exif 2.32 §4.6.4)."""

WORKING_BYTES = 10
"""A pixel of the result: as scaled, as converted or turned, and as encoded. Measured."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture that goes upstream as it is, less its metadata."""

    digest: str
    mime: str
    parts: Sequence[memoryview]

    @property
    def memory_bytes(self) -> int:
        """Bytes held at most while `finish` runs, the body not counted."""
        return 3 * sum(len(part) for part in self.parts)

    def finish(self) -> ImageInput:
        return ImageInput(data_url(self.mime, self.parts), self.digest)


@dataclass(frozen=True, slots=True)
class Raw:
    """A picture that must be decoded and encoded again."""

    digest: str
    kind: Kind
    picture: Picture
    max_side: int

    @property
    def memory_bytes(self) -> int:
        """Bytes held at most while `finish` runs, the body not counted."""
        small = divided(self.picture.size, factor(self.picture.size, self.max_side))
        working_bytes = math.prod(small) * WORKING_BYTES
        return max(self.picture.decoding_bytes(self.max_side), working_bytes)

    def finish(self) -> ImageInput:
        """Decode, scale, convert to sRGB, turn upright, encode.

        Raises:
            ImageUnreadable: The decoder found it cut off or damaged.
        """
        with _Reading(self.kind):
            image = self.picture.decode(self.max_side)
        # What the decoder has left would stand beside all that follows; so would, below, what that
        # leaves beside the file.
        give_back()
        image = _fit(image, self.max_side)
        image = to_srgb(image, self.picture.icc)
        how = UPRIGHT.get(self.picture.orientation)
        if how is not None:
            image = _turned(image, how)
        give_back()
        return ImageInput(jpeg_url(image), self.digest)


def examine(body: memoryview, limits: ImageLimits) -> Ready | Raw:
    """Tell what a file is and what is to be done with it, without decoding it.

    Raises:
        ImageTypeUnsupported, ImageDimensions, ImageUnreadable: It cannot be searched.
    """
    kind = sniff(bytes(body[:HEAD_BYTES]))
    digest = hashlib.sha256(body).hexdigest()
    structure = _structure(kind, body)
    if structure:
        limits.check_size(structure.size)
        if _goes_as_it_is(kind, structure, limits):
            return Ready(digest, MIME[kind], structure.parts)
    with _Reading(kind):
        picture = _open(kind, body, structure)
    limits.check_size(picture.size)
    return Raw(digest, kind, picture, limits.max_side)


def _structure(kind: Kind, body: memoryview) -> Structure | None:
    if walk := WALKS.get(kind):
        return walk(body)
    if check := CHECKS.get(kind):
        check(body)
    return None


def _goes_as_it_is(kind: Kind, structure: Structure, limits: ImageLimits) -> bool:
    return (
        structure.sound
        and structure.orientation == 1
        and is_srgb(structure.icc)
        and (not limits.max_side or max(structure.size) <= limits.max_side)
        and url_bytes(MIME[kind], structure.n_bytes) <= MAX_URL_BYTES
    )


def _open(kind: Kind, body: memoryview, structure: Structure | None) -> Picture:
    if kind is Kind.WEBP and LIBWEBP:
        return WebpPicture(body, LIBWEBP)
    if kind is Kind.AVIF and LIBAVIF:
        return AvifPicture(body, LIBAVIF)
    if kind is Kind.TIFF and LIBTIFF:
        striped = StripedPicture(body, LIBTIFF)
        if striped.is_striped:
            return striped
    if kind is Kind.HEIC:
        return _open_heic(body)
    if kind is Kind.JPEG and structure and stores_much(structure):
        return ProgressivePicture(kind, structure.parts, structure, LIBTIFF)
    return PillowPicture(kind, structure.parts if structure else (body,), structure)


def _open_heic(body: memoryview) -> Picture:
    if LIBHEIF and LIBAVIF and LIBDE265:
        return HeicPicture(body, LIBHEIF, LIBAVIF, LIBDE265)
    return WholeHeicPicture(body)


def _fit(image: Image.Image, max_side: int) -> Image.Image:
    """No side longer than `max_side`, unless the other one would be too short for the upstream."""
    short, long = sorted(image.size)
    if not max_side or long <= max_side or short <= MIN_SIDE:
        return image
    scale = max(max_side / long, MIN_SIDE / short)
    smaller = (round(image.width * scale), round(image.height * scale))
    return resize(image, smaller)


def _turned(image: Image.Image, how: Image.Transpose) -> Image.Image:
    """The image turned plane by plane, and used up for it; at once it would be held twice."""
    mode, planes = image.mode, split(image)
    turned = [planes.pop(0).transpose(how) for _ in range(len(planes))]
    size, rows = turned[0].size, [FadingRows(plane) for plane in turned]
    give_back()
    return shrink(size, lambda top, bottom: Image.merge(mode, [at(top, bottom) for at in rows]), 1)


class _Reading:
    """Maps what decoders raise, which is anything, to what the caller is told."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if exc is None or isinstance(exc, ServiceError) or not isinstance(exc, Exception):
            return
        if isinstance(exc, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise ImageDimensions("The picture has more pixels than are taken in.") from exc
        raise ImageUnreadable(f"This {self._kind.value} file is cut off or damaged.") from exc
