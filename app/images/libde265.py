"""libde265 (libde265/de265.h, 1.x): one picture of HEVC, its planes left where they were decoded.

libheif, which brings it along, copies them, and takes no unit of more than 16 MiB.
"""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from app.images.foreign import address_of, load
from app.images.yuv import Colours, Plane

INT, POINTER = ctypes.c_int, ctypes.c_void_p

NO_SAO = 8
"""DE265_DECODER_PARAM_DISABLE_SAO."""

STEPS_MAX = 4096
"""Calls that decode something. A picture takes one or two for each of its slices."""


UNIT_MAX_BYTES = (1 << 31) - 1
"""What a length is told as. Bodies are bounded by whoever receives them."""

MESSAGES_MAX = 256
"""Of those that accompany a picture (SEI): libde265's own limit."""


class _Limits(ctypes.Structure):
    """`de265_security_limits`."""

    _fields_ = (
        ("version", ctypes.c_uint8),
        *((name, ctypes.c_uint32) for name in ("image_pixels", "unit_bytes", "messages")),
    )


PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "de265_get_version_number_major": (INT, ()),
    "de265_new_decoder": (POINTER, ()),
    "de265_set_security_limits": (None, (POINTER, ctypes.POINTER(_Limits))),
    "de265_set_parameter_bool": (None, (POINTER, INT, INT)),
    "de265_push_NAL": (INT, (POINTER, POINTER, INT, ctypes.c_int64, POINTER)),
    "de265_flush_data": (INT, (POINTER,)),
    "de265_decode": (INT, (POINTER, ctypes.POINTER(INT))),
    "de265_get_next_picture": (POINTER, (POINTER,)),
    "de265_free_decoder": (INT, (POINTER,)),
    "de265_get_chroma_format": (INT, (POINTER,)),
    "de265_get_image_width": (INT, (POINTER, INT)),
    "de265_get_image_height": (INT, (POINTER, INT)),
    "de265_get_bits_per_pixel": (INT, (POINTER, INT)),
    "de265_get_image_plane": (POINTER, (POINTER, INT, ctypes.POINTER(INT))),
    "de265_get_image_full_range_flag": (INT, (POINTER,)),
    "de265_get_image_colour_primaries": (INT, (POINTER,)),
    "de265_get_image_transfer_characteristics": (INT, (POINTER,)),
    "de265_get_image_matrix_coefficients": (INT, (POINTER,)),
}
VERSION = 1


class Picture:
    """A decoded picture, valid as long as its decoder.

    `chroma` is 0 for grey, 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4; `colours` are those that the
    picture itself says.
    """

    def __init__(self, library: ctypes.CDLL, image: Any) -> None:
        self.chroma: int = library.de265_get_chroma_format(image)
        codes = (
            library.de265_get_image_colour_primaries(image),
            library.de265_get_image_transfer_characteristics(image),
            library.de265_get_image_matrix_coefficients(image),
        )
        full_range = bool(library.de265_get_image_full_range_flag(image))
        self.colours = Colours(codes, full_range=full_range)
        self.planes = [_plane(library, image, at) for at in range(3 if self.chroma else 1)]


class LibDe265:
    """The library, once its functions are found and its version is known."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @contextmanager
    def decoding(self, *, size_limit: int, finely: bool = True) -> Iterator["Decoder"]:
        """A decoder of one picture, which is valid within the block.

        Args:
            size_limit: Most pixels that the picture may have.
            finely: Apply sample adaptive offsets (ITU-T H.265 §8.7.3), which takes the memory of a
                plane more.
        """
        library = self._library
        decoder = library.de265_new_decoder()
        if not decoder:
            raise MemoryError("libde265 found no memory")
        try:
            limits = _Limits(1, size_limit, UNIT_MAX_BYTES, MESSAGES_MAX)
            library.de265_set_security_limits(decoder, limits)
            library.de265_set_parameter_bool(decoder, NO_SAO, not finely)
            yield Decoder(library, decoder)
        finally:
            library.de265_free_decoder(decoder)


class Decoder:
    """Takes the units of a picture, then gives the picture."""

    def __init__(self, library: ctypes.CDLL, decoder: Any) -> None:
        self._library, self._decoder = library, decoder

    def push(self, units: Iterable[memoryview]) -> None:
        """Take units in; they are copied.

        Raises:
            ValueError: It takes no more.
        """
        for unit in units:
            with address_of(unit) as at:
                _check(self._library.de265_push_NAL(self._decoder, at, len(unit), 0, None))

    def picture(self) -> Picture:
        """The picture that the units make.

        Raises:
            ValueError: They make none.
        """
        library, more = self._library, INT(1)
        _check(library.de265_flush_data(self._decoder))
        for _ in range(STEPS_MAX):
            if not more.value:
                break
            _check(library.de265_decode(self._decoder, ctypes.byref(more)))
            if image := library.de265_get_next_picture(self._decoder):
                return Picture(library, image)
        raise ValueError("libde265 finds no picture")


def open_libde265() -> LibDe265 | None:
    """The library that libheif has loaded, or `None` where it cannot be called."""
    library = load(import_module("_pillow_heif"), PROTOTYPES)
    if library and library.de265_get_version_number_major() == VERSION:
        return LibDe265(library)
    return None


def _plane(library: ctypes.CDLL, image: Any, at: int) -> Plane:
    stride = INT()
    address = library.de265_get_image_plane(image, at, ctypes.byref(stride))
    width, height = (
        getattr(library, f"de265_get_image_{side}")(image, at) for side in ("width", "height")
    )
    depth = library.de265_get_bits_per_pixel(image, at)
    return Plane((width, height), depth, address, stride.value)


def _check(error: int) -> None:
    if error:
        raise ValueError(f"libde265 answers with error {error}")
