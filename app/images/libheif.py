"""libheif (libheif/heif.h, 1.x): the planes as its decoder left them, in no other colours.

pillow_heif, which brings it along, has all of a picture turned into RGB while the planes stand.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from app.images.foreign import address_of, load
from app.images.libheif_abi import INT, NCLX, POINTER, PROTOTYPES, SIZE, UINT, HeifError
from app.images.turns import Step, orientation_of

VERSION = 1

PLANAR = (0, 2)
"""heif_colorspace: YCbCr and grey."""

UNDEFINED = 99
"""heif_colorspace and heif_chroma: as the file has them."""

Y, CB, CR, ALPHA = 0, 1, 2, 6
"""heif_channel."""

STEPS_MAX = 8
"""Encoders write up to three."""

SIDEWAYS = range(5, 9)
"""The orientations that exchange width and height."""

THREADS = 1
"""libheif's own four take memory each for a picture of tiles, and more of the machine than a
worker."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Rows of samples, `stride` bytes apart, of a byte each or, where deeper, of two."""

    size: tuple[int, int]
    depth: int
    address: int
    stride: int


class LibHeif:
    """The library, once its functions are found and its version is known."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @contextmanager
    def opened(self, file: memoryview) -> Iterator["Primary"]:
        """The primary image of a HEIC file, its pixels not yet decoded; valid within the block.

        Args:
            file: It stays where it is in memory, and is not copied.

        Raises:
            ValueError: It is damaged, or has no such image.
        """
        library, handle = self._library, POINTER()
        with ExitStack() as stack, address_of(file) as at:
            context = POINTER(library.heif_context_alloc())
            stack.callback(library.heif_context_free, context)
            library.heif_context_set_max_decoding_threads(context, THREADS)
            _check(library.heif_context_read_from_memory_without_copy(context, at, len(file), None))
            _check(library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)))
            stack.callback(library.heif_image_handle_release, handle)
            yield Primary(library, context, handle)


class Primary:
    """What the boxes say, and the way to the pixels.

    `stored` is the size that is decoded. `size` is that of the part to be shown, whose upper left
    corner is `corner`, and `steps` turn it upright. `is_planar` says that its pixels are had so.
    """

    def __init__(self, library: ctypes.CDLL, context: Any, handle: Any) -> None:
        self._library, self._context, self._handle = library, context, handle
        self.depth: int = library.heif_image_handle_get_luma_bits_per_pixel(handle)
        self.has_alpha = bool(library.heif_image_handle_has_alpha_channel(handle))
        space, chroma = INT(), INT()
        ask = library.heif_image_handle_get_preferred_decoding_colorspace
        _check(ask(handle, ctypes.byref(space), ctypes.byref(chroma)))
        self.chroma = chroma.value
        self.stored = _size(library, handle, "heif_image_handle_get_ispe")
        self.is_planar = space.value in PLANAR and 0 not in self.stored
        self.corner = (0, 0)
        self.steps: list[Step] = []
        self._read_steps()
        upright = _size(library, handle, "heif_image_handle_get")
        turned = orientation_of(self.steps) in SIDEWAYS
        self.size = (upright[1], upright[0]) if turned else upright

    def _read_steps(self) -> None:
        library, context = self._library, self._context
        item = library.heif_image_handle_get_item_id(self._handle)
        ids = (UINT * STEPS_MAX)()
        count = library.heif_item_get_transformation_properties(context, item, ids, STEPS_MAX)
        for place in ((context, item, step) for step in ids[:count]):
            kind = library.heif_item_get_property_type(*place).to_bytes(4, "big")
            if kind == b"irot":
                angle = library.heif_item_get_property_transform_rotation_ccw(*place)
                self.steps.append(("irot", angle // 90))
            elif kind == b"imir":
                mirror = library.heif_item_get_property_transform_mirror(*place)
                self.steps.append(("imir", mirror))
            else:
                # Of what is turned already, it would be another corner.
                self.is_planar = self.is_planar and not self.steps
                left, top = INT(), INT()
                ask = library.heif_item_get_property_transform_crop_borders
                ask(*place, *self.stored, ctypes.byref(left), ctypes.byref(top), None, None)
                self.corner = (max(left.value, 0), max(top.value, 0))

    @property
    def icc(self) -> bytes | None:
        """The ICC profile."""
        profile = bytearray(
            self._library.heif_image_handle_get_raw_color_profile_size(self._handle)
        )
        if not profile:
            return None
        with address_of(memoryview(profile)) as at:
            _check(self._library.heif_image_handle_get_raw_color_profile(self._handle, at))
        return bytes(profile)

    @contextmanager
    def decoded(self, size_limit: int) -> Iterator["Decoded"]:
        """The planes as they are stored; valid within the block.

        Args:
            size_limit: Most pixels that this image, its tiles and its alpha plane may have each.

        Raises:
            ValueError: It is cut off or damaged.
        """
        library, image = self._library, POINTER()
        library.heif_context_get_security_limits(self._context).contents.image_pixels = size_limit
        options = library.heif_decoding_options_alloc()
        options.contents.as_stored = True
        with ExitStack() as stack:
            stack.callback(library.heif_decoding_options_free, options)
            into = ctypes.byref(image)
            _check(library.heif_decode_image(self._handle, into, UNDEFINED, UNDEFINED, options))
            stack.callback(library.heif_image_release, image)
            yield Decoded(library, image)


class Decoded:
    """The planes of a picture, and what they mean.

    `chroma` is a heif_chroma: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4. `colours` are the codes of
    primaries, transfer and matrix (ITU-T H.273 §8).
    """

    def __init__(self, library: ctypes.CDLL, image: Any) -> None:
        self._library, self._image = library, image
        if library.heif_image_get_colorspace(image) not in PLANAR:
            raise ValueError("libheif found other colours than announced")
        self.chroma: int = library.heif_image_get_chroma_format(image)
        self.premultiplied = bool(library.heif_image_is_premultiplied_alpha(image))
        self.colours, self.full_range = (2, 2, 2), True
        nclx = NCLX()
        if not library.heif_image_get_nclx_color_profile(image, ctypes.byref(nclx)).code:
            found = nclx.contents
            self.colours = (found.primaries, found.transfer, found.matrix)
            self.full_range = bool(found.full_range)
            library.heif_nclx_color_profile_free(nclx)

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


def open_libheif() -> LibHeif | None:
    """The library that pillow_heif has loaded, or `None` where it cannot be called."""
    library = load(import_module("_pillow_heif"), PROTOTYPES)
    if library and library.heif_get_version_number_major() == VERSION:
        return LibHeif(library)
    return None


def _size(library: ctypes.CDLL, handle: Any, of: str) -> tuple[int, int]:
    width, height = (getattr(library, f"{of}_{side}") for side in ("width", "height"))
    return width(handle), height(handle)


def _check(error: HeifError) -> None:
    if error.code:
        raise ValueError(f"libheif answers with error {error.code}.{error.detail}")
