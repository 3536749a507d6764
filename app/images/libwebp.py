"""libwebp's advanced decoding API (src/webp/decode.h, ABI 0x02xx), which scales while it decodes.

What it decodes is one picture: a file that holds no animation, or the chunks of a single frame.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import _webp

from app.images.foreign import address_of, load

ABI = 0x0209
"""Of libwebp 1.0 and later; the library refuses another first byte."""

OK = 0
RGB, RGBA = 0, 1
"""Colour spaces of the result (WEBP_CSP_MODE)."""

INT, SIZE, POINTER = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p


def _ints(*names: str) -> tuple[tuple[str, type[ctypes.c_int]], ...]:
    return tuple((name, INT) for name in names)


class Features(ctypes.Structure):
    """`WebPBitstreamFeatures`: what a picture's header says."""

    width: int
    height: int
    has_alpha: int
    _fields_ = (
        *_ints("width", "height", "has_alpha", "has_animation", "format"),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Packed(ctypes.Structure):
    _fields_ = (("rgba", POINTER), ("stride", INT), ("size", SIZE))


class _Planes(ctypes.Structure):
    _fields_ = (
        *((name, POINTER) for name in ("y", "u", "v", "a")),
        *_ints("y_stride", "u_stride", "v_stride", "a_stride"),
        *((name, SIZE) for name in ("y_size", "u_size", "v_size", "a_size")),
    )


class _Samples(ctypes.Union):
    _fields_ = (("packed", _Packed), ("planes", _Planes))


class _Output(ctypes.Structure):
    _fields_ = (
        *_ints("colorspace", "width", "height", "is_external_memory"),
        ("samples", _Samples),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", POINTER),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        *_ints("bypass_filtering", "no_fancy_upsampling", "use_cropping", "crop_left", "crop_top"),
        *_ints("crop_width", "crop_height", "use_scaling", "scaled_width", "scaled_height"),
        *_ints("use_threads", "dithering_strength", "flip", "alpha_dithering_strength"),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", Features), ("output", _Output), ("options", _Options))


PROTOTYPES = {
    "WebPGetFeaturesInternal": (INT, (POINTER, SIZE, ctypes.POINTER(Features), INT)),
    "WebPInitDecoderConfigInternal": (INT, (ctypes.POINTER(_Config), INT)),
    "WebPDecode": (INT, (POINTER, SIZE, ctypes.POINTER(_Config))),
    "WebPFreeDecBuffer": (None, (ctypes.POINTER(_Output),)),
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows of 8-bit samples, `stride` bytes apart, valid as long as the block that made them."""

    size: tuple[int, int]
    mode: str
    stride: int
    address: int
    samples: memoryview


class LibWebP:
    """The library, once its functions are found."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def features(self, picture: memoryview) -> Features:
        """What the header says.

        Raises:
            ValueError: It is damaged, or cut off in its header.
        """
        found = Features()
        with address_of(picture) as at:
            status = self._library.WebPGetFeaturesInternal(at, len(picture), found, ABI)
        _check(status)
        return found

    @contextmanager
    def decoded(
        self, picture: memoryview, size: tuple[int, int], rows: range | None = None
    ) -> Iterator[Decoded]:
        """The picture, scaled to `size`; transparency stays in it.

        Args:
            picture: Its chunks.
            size: Its own, or a smaller one.
            rows: The only ones wanted, of a picture that is not scaled; the first is even.

        Raises:
            ValueError: It is cut off or damaged.
        """
        features, config = self.features(picture), _Config()
        self._library.WebPInitDecoderConfigInternal(config, ABI)
        config.output.colorspace = RGBA if features.has_alpha else RGB
        options = config.options
        options.use_scaling = int(size != (features.width, features.height))
        options.scaled_width, options.scaled_height = size
        if rows:
            options.use_cropping = 1
            options.crop_top, options.crop_width, options.crop_height = rows[0], size[0], len(rows)
        try:
            with address_of(picture) as at:
                _check(self._library.WebPDecode(at, len(picture), config))
            yield _result(config)
        finally:
            self._library.WebPFreeDecBuffer(config.output)


def open_libwebp() -> LibWebP | None:
    """The library that Pillow has loaded, or `None` where it cannot be called."""
    library = load(_webp, PROTOTYPES)
    if library and library.WebPInitDecoderConfigInternal(_Config(), ABI):
        return LibWebP(library)
    return None


def _result(config: _Config) -> Decoded:
    output = config.output
    packed = output.samples.packed
    samples = (ctypes.c_ubyte * packed.size).from_address(packed.rgba)
    mode = "RGBA" if output.colorspace == RGBA else "RGB"
    size = (output.width, output.height)
    return Decoded(size, mode, packed.stride, packed.rgba, memoryview(samples).cast("B"))


def _check(status: int) -> None:
    if status != OK:
        raise ValueError(f"libwebp answers with status {status}")
