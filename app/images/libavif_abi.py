"""What is called of libavif (include/avif/avif.h, 1.x): its structures and its functions' types.

The header says that structures only grow at their ends from 1.0 on.
"""

import ctypes
from typing import Any

INT, UINT, POINTER = ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p


class AvifData(ctypes.Structure):
    _fields_ = (("data", POINTER), ("size", ctypes.c_size_t))


class AvifImage(ctypes.Structure):
    """`avifImage`, up to what is read of it."""

    _fields_ = (
        *((name, UINT) for name in ("width", "height", "depth")),
        *((name, INT) for name in ("format", "range", "chroma_position")),
        ("planes", POINTER * 3),
        ("row_bytes", UINT * 3),
        ("owns_planes", INT),
        ("alpha_plane", POINTER),
        ("alpha_row_bytes", UINT),
        ("owns_alpha", INT),
        ("alpha_premultiplied", INT),
        ("icc", AvifData),
        ("colours", ctypes.c_uint16 * 3),
        ("light_levels", ctypes.c_uint16 * 2),
        ("transforms", UINT),
        ("pixel_aspect", UINT * 2),
        ("clean_aperture", UINT * 8),
        ("angle", ctypes.c_uint8),
        ("axis", ctypes.c_uint8),
    )


class AvifIo(ctypes.Structure):
    """`avifIO`: how a file is read."""


AvifRead = ctypes.CFUNCTYPE(
    INT, ctypes.POINTER(AvifIo), UINT, ctypes.c_uint64, ctypes.c_size_t, ctypes.POINTER(AvifData)
)
AvifIo._fields_ = [
    ("destroy", POINTER),
    ("read", AvifRead),
    ("write", POINTER),
    ("size", ctypes.c_uint64),
    ("persistent", INT),
    ("data", POINTER),
]


class _Timing(ctypes.Structure):
    _fields_ = (
        ("timescale", ctypes.c_uint64),
        ("pts", ctypes.c_double),
        ("pts_in_timescales", ctypes.c_uint64),
        ("duration", ctypes.c_double),
        ("duration_in_timescales", ctypes.c_uint64),
    )


class AvifDecoder(ctypes.Structure):
    """`avifDecoder`, up to what is read of it."""

    _fields_ = (
        *((name, INT) for name in ("codec", "max_threads", "source")),
        *((name, INT) for name in ("progressive", "incremental", "no_exif", "no_xmp")),
        *((name, UINT) for name in ("size_limit", "dimension_limit", "count_limit", "strict")),
        ("image", ctypes.POINTER(AvifImage)),
        *((name, INT) for name in ("index", "count", "progressive_state")),
        ("timing", _Timing),
        ("timescale", ctypes.c_uint64),
        ("duration", ctypes.c_double),
        ("duration_in_timescales", ctypes.c_uint64),
        *((name, INT) for name in ("repetitions", "has_alpha")),
    )


class Rgb8(ctypes.Structure):
    """`avifRGBImage`."""

    _fields_ = (
        *((name, UINT) for name in ("width", "height", "depth")),
        *((name, INT) for name in ("format", "upsampling", "downsampling", "avoid_libyuv")),
        *((name, INT) for name in ("ignore_alpha", "premultiplied", "is_float", "max_threads")),
        ("pixels", POINTER),
        ("row_bytes", UINT),
    )


class Rect(ctypes.Structure):
    _fields_ = tuple((name, UINT) for name in ("x", "y", "width", "height"))


_DECODER, _IMAGE = ctypes.POINTER(AvifDecoder), ctypes.POINTER(AvifImage)
PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "avifVersion": (ctypes.c_char_p, ()),
    "avifDecoderCreate": (_DECODER, ()),
    "avifDecoderSetIO": (None, (_DECODER, ctypes.POINTER(AvifIo))),
    "avifDecoderParse": (INT, (_DECODER,)),
    "avifDecoderNextImage": (INT, (_DECODER,)),
    "avifDecoderDestroy": (None, (_DECODER,)),
    "avifImageCreateEmpty": (_IMAGE, ()),
    "avifImageSetViewRect": (INT, (_IMAGE, _IMAGE, ctypes.POINTER(Rect))),
    "avifImageDestroy": (None, (_IMAGE,)),
    "avifRGBImageSetDefaults": (None, (ctypes.POINTER(Rgb8), _IMAGE)),
    "avifImageYUVToRGB": (INT, (_IMAGE, ctypes.POINTER(Rgb8))),
}
