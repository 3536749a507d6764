"""libheif (libheif/heif.h, 1.x): the planes as its decoder left them, in no other colours.

pillow_heif, which brings it along, has all of a picture turned into RGB while the planes stand.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from app.images.boxes import ALPHA_TYPES
from app.images.foreign import address_of, load
from app.images.libheif_abi import INT, POINTER, PROTOTYPES, UINT, checked
from app.images.libheif_decoded import PLANAR, Decoded, check_whole, read_colours
from app.images.libheif_item import Item
from app.images.turns import Step, orientation_of
from app.images.yuv import Colours

VERSION = 1

UNDEFINED = 99
"""heif_colorspace and heif_chroma: as the file has them."""

STEPS_MAX = 8
"""Encoders write up to three."""

SIDEWAYS = range(5, 9)
"""The orientations that exchange width and height."""

THREADS = 1
"""libheif's own four take memory each for a picture of tiles, and more of the machine than a
worker."""


AUXILIARY_MAX = 16
"""Pictures beside the primary one: transparency, depth, gain maps."""

OMIT_DEPTH = 4
"""LIBHEIF_AUX_IMAGE_FILTER_OMIT_DEPTH."""


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
            checked(
                library.heif_context_read_from_memory_without_copy(context, at, len(file), None)
            )
            checked(library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)))
            stack.callback(library.heif_image_handle_release, handle)
            yield Primary(library, context, handle)


class Primary:
    """What the boxes say, and the way to the pixels.

    `stored` is the size that is decoded. `size` is that of the part to be shown, whose upper left
    corner is `corner`, and `steps` turn it upright. `is_planar` says that its pixels are YCbCr or
    grey, `crops_first` that what is not to be shown is cut off before it is turned.
    """

    def __init__(self, library: ctypes.CDLL, context: Any, handle: Any) -> None:
        self._library, self._context, self._handle = library, context, handle
        self.depth: int = library.heif_image_handle_get_luma_bits_per_pixel(handle)
        self.has_alpha = bool(library.heif_image_handle_has_alpha_channel(handle))
        space, chroma = INT(), INT()
        ask = library.heif_image_handle_get_preferred_decoding_colorspace
        checked(ask(handle, ctypes.byref(space), ctypes.byref(chroma)))
        self.chroma = chroma.value
        self.stored = _size(library, handle, "heif_image_handle_get_ispe")
        self.is_planar = space.value in PLANAR
        self.crops_first = 0 not in self.stored
        self.corner = (0, 0)
        self.steps: list[Step] = []
        self.item = Item(library, context, library.heif_image_handle_get_item_id(handle))
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
                self.crops_first = self.crops_first and not self.steps
                left, top = INT(), INT()
                ask = library.heif_item_get_property_transform_crop_borders
                ask(*place, *self.stored, ctypes.byref(left), ctypes.byref(top), None, None)
                self.corner = (max(left.value, 0), max(top.value, 0))

    @property
    def alpha(self) -> Item | None:
        """The item that says how transparent it is."""
        library, handle, ids = self._library, self._handle, (UINT * AUXILIARY_MAX)()
        if not self.has_alpha:
            return None
        count = library.heif_image_handle_get_list_of_auxiliary_image_IDs(
            handle, OMIT_DEPTH, ids, AUXILIARY_MAX
        )
        alphas = (one for one in ids[:count] if self._auxiliary_type(one) in ALPHA_TYPES)
        number = next(alphas, None)
        return None if number is None else Item(library, self._context, number)

    def _auxiliary_type(self, number: int) -> bytes:
        library, handle, kind = self._library, POINTER(), ctypes.c_char_p()
        with ExitStack() as stack:
            ask = library.heif_image_handle_get_auxiliary_image_handle
            if ask(self._handle, number, ctypes.byref(handle)).code:
                return b""
            stack.callback(library.heif_image_handle_release, handle)
            checked(library.heif_image_handle_get_auxiliary_type(handle, ctypes.byref(kind)))
            found = kind.value or b""
            library.heif_image_handle_release_auxiliary_type(handle, ctypes.byref(kind))
        return found

    @property
    def premultiplied(self) -> bool:
        """Whether the colours are already weighed by the alpha."""
        return bool(self._library.heif_image_handle_is_premultiplied_alpha(self._handle))

    @property
    def colours(self) -> Colours | None:
        """What the boxes say of its colours."""
        return read_colours(
            self._library, self._library.heif_image_handle_get_nclx_color_profile, self._handle
        )

    @property
    def icc(self) -> bytes | None:
        """The ICC profile."""
        profile = bytearray(
            self._library.heif_image_handle_get_raw_color_profile_size(self._handle)
        )
        if not profile:
            return None
        with address_of(memoryview(profile)) as at:
            checked(self._library.heif_image_handle_get_raw_color_profile(self._handle, at))
        return bytes(profile)

    @contextmanager
    def decoded(self, size_limit: int) -> Iterator[Decoded]:
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
            checked(library.heif_decode_image(self._handle, into, UNDEFINED, UNDEFINED, options))
            stack.callback(library.heif_image_release, image)
            check_whole(library, image)
            yield Decoded(library, image)


def open_libheif() -> LibHeif | None:
    """The library that pillow_heif has loaded, or `None` where it cannot be called."""
    library = load(import_module("_pillow_heif"), PROTOTYPES)
    if library and library.heif_get_version_number_major() == VERSION:
        return LibHeif(library)
    return None


def _size(library: ctypes.CDLL, handle: Any, of: str) -> tuple[int, int]:
    width, height = (getattr(library, f"{of}_{side}") for side in ("width", "height"))
    return width(handle), height(handle)
