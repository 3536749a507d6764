"""Every pixel mode into greyscale or RGB of 8 bits, in sRGB, without transparency."""

import io
import math
from typing import Any, Protocol, cast

from PIL import Image, ImageCms

from app.errors import ImageUnreadable
from app.images.arrow import FadingRows
from app.images.bands import shrink

SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")
"""As profiles of versions 2 and 4 describe themselves."""

PLAIN_MODES = frozenset(("L", "RGB", "CMYK"))


def is_srgb(icc: bytes | None) -> bool:
    """Whether samples need no conversion: no profile, or one that calls itself sRGB."""
    return icc is None or any(name in icc for name in SRGB_NAMES)


class Samples(Protocol):
    """What is asked of an image, or of one that is read in bands."""

    @property
    def mode(self) -> str: ...

    def getextrema(self) -> Any: ...


def levels_of(image: Samples) -> tuple[float, float] | None:
    """Factor and offset that bring samples of more than 8 bits into 0 to 255, else `None`.

    16 bits have a scale of their own; of other numbers the least becomes black, the most white.

    Raises:
        ImageUnreadable: The samples are no numbers.
    """
    if image.mode.startswith("I;16"):
        return 1 / 256, 0.0
    if image.mode not in ("I", "F"):
        return None
    low, high = cast("tuple[float, float]", image.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageUnreadable("This picture has samples that are not numbers.")
    factor = 255 / (high - low) if high > low else 0.0
    return factor, -low * factor


def to_8_bits(image: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """Greyscale, RGB or CMYK of 8 bits; what is transparent shows white.

    `levels` is what `levels_of` said of the whole picture, of which this may be a band.
    """
    if levels:
        factor, offset = levels
        return image.point(lambda level: level * factor + offset).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in PLAIN_MODES else image.convert("RGB")


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A greyscale, RGB or CMYK image in sRGB.

    The image given is used up. A profile that is broken, or made for another kind of image, is
    passed over as browsers do.
    """
    transform = None if icc is None or is_srgb(icc) else _transform(image.mode, icc)
    if image.mode == "RGB":
        if transform:
            transform.apply_in_place(image)
        return image
    if image.mode == "L" and not transform:
        return image
    rows = FadingRows(image)

    def converted(top: int, bottom: int) -> Image.Image:
        band = rows(top, bottom)
        return transform.apply(band) if transform else band.convert("RGB")

    return shrink(image.size, converted, 1)


def _transform(mode: str, icc: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
