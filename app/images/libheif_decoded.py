"""A picture as libheif leaves it: its planes, and what they mean."""

import ctypes
from typing import Any

from app.images.libheif_abi import NCLX, SIZE, HeifError, checked
from app.images.yuv import AS_JPEG, Colours, Plane

PLANAR = (0, 2)
"""heif_colorspace: YCbCr and grey."""

Y, CB, CR, ALPHA = 0, 1, 2, 6
"""heif_channel."""

REMARKS_MAX = 64
"""Of one picture, looked at."""

UNKNOWN_COLOURS = range(133, 136)
"""The heif_suberror_codes of primaries, transfer and matrix that libheif does not know."""


class Decoded:
    """The planes of a picture, and what they mean.

    `chroma` is a heif_chroma: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    """

    def __init__(self, library: ctypes.CDLL, image: Any) -> None:
        self._library, self._image = library, image
        if library.heif_image_get_colorspace(image) not in PLANAR:
            raise ValueError("libheif found other colours than announced")
        self.chroma: int = library.heif_image_get_chroma_format(image)
        self.premultiplied = bool(library.heif_image_is_premultiplied_alpha(image))
        ask = library.heif_image_get_nclx_color_profile
        self.colours = read_colours(library, ask, image) or AS_JPEG

    def plane(self, channel: int) -> Plane | None:
        """The plane of this channel, if there is one."""
        library, image, stride = self._library, self._image, SIZE()
        address = library.heif_image_get_plane_readonly2(image, channel, ctypes.byref(stride))
        if not address:
            return None
        width = library.heif_image_get_width(image, channel)
        height = library.heif_image_get_height(image, channel)
        depth = library.heif_image_get_bits_per_pixel_range(image, channel)
        return Plane((width, height), depth, address, stride.value)


def read_colours(library: ctypes.CDLL, ask: Any, of: Any) -> Colours | None:
    """What an image or a handle says of its colours, if it does; `ask` is the function for it."""
    nclx = NCLX()
    if ask(of, ctypes.byref(nclx)).code:
        return None
    found = nclx.contents
    codes = (found.primaries, found.transfer, found.matrix)
    colours = Colours(codes, full_range=bool(found.full_range))
    library.heif_nclx_color_profile_free(nclx)
    return colours


def check_whole(library: ctypes.CDLL, image: Any) -> None:
    """Tiles that cannot be decoded are left out by libheif, which only remarks on it.

    Raises:
        ValueError: There are such.
    """
    remarks = (HeifError * REMARKS_MAX)()
    count = library.heif_image_get_decoding_warnings(image, 0, remarks, REMARKS_MAX)
    for remark in remarks[:count]:
        if remark.detail not in UNKNOWN_COLOURS:
            checked(remark)
