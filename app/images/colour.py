"""Every pixel mode into greyscale or RGB of 8 bits, in sRGB, without transparency."""

import io
import math
from typing import cast

from PIL import Image, ImageCms

from app.errors import ImageUnreadable

SIXTEEN_TO_EIGHT = [level >> 8 for level in range(65_536)]
SRGB_NAMES = (b"sRGB", b"s\0R\0G\0B")
"""As profiles of versions 2 and 4 describe themselves."""

HIGH_RANGE = frozenset(("I", "F"))


def is_srgb(icc: bytes | None) -> bool:
    """Whether samples need no conversion: no profile, or one that calls itself sRGB."""
    return icc is None or any(name in icc for name in SRGB_NAMES)


def stretch(image: Image.Image) -> tuple[float, float]:
    """Factor and offset that bring the samples of an `I` or `F` image into 0 to 255.

    Raises:
        ImageUnreadable: The samples are no numbers.
    """
    low, high = cast("tuple[float, float]", image.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageUnreadable("This picture has samples that are not numbers.")
    factor = 255 / (high - low) if high > low else 1.0
    return factor, -low * factor


def to_8_bits(image: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """Greyscale, RGB or CMYK of 8 bits; what is transparent shows white.

    `levels` is what `stretch` said of the whole picture, for the modes that need it.
    """
    if levels:
        factor, offset = levels
        return image.point(lambda level: level * factor + offset).convert("L")
    if image.mode.startswith("I;16"):
        return image.point(SIXTEEN_TO_EIGHT, "L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A greyscale, RGB or CMYK image in sRGB.

    A profile that is broken, or made for another kind of image, is passed over as browsers do.
    """
    if icc and not is_srgb(icc):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted:
            return converted
    return image.convert("RGB") if image.mode == "CMYK" else image
