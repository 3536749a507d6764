"""libheif (libheif/heif.h, 1.x): what the boxes of a HEIC file say of its picture.

It is what pillow_heif brings along. It could decode, too, but copies planes.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from app.images.boxes import ALPHA_TYPES
from app.images.foreign import address_of, load
from app.images.libheif_abi import INT, NCLX, POINTER, PROTOTYPES, UINT, checked
from app.images.turns import Step, orientation_of, unturned
from app.images.yuv import Colours

VERSION = 1

STEPS_MAX = 8
"""Encoders write up to three."""

SIDEWAYS = range(5, 9)
"""The orientations that exchange width and height."""

AUXILIARY_MAX = 16
"""Pictures beside the primary one: transparency, depth, gain maps."""

OMIT_DEPTH = 4
"""LIBHEIF_AUX_IMAGE_FILTER_OMIT_DEPTH."""


class Item(NamedTuple):
    """One picture of a file, or a part of one: its number, and its type, such as `hvc1`."""

    number: int
    kind: bytes


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
            checked(
                library.heif_context_read_from_memory_without_copy(context, at, len(file), None)
            )
            checked(library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)))
            stack.callback(library.heif_image_handle_release, handle)
            yield Primary(library, context, handle)


class Primary:
    """What the boxes say.

    `stored` is the size as announced. `size` is that of the part to be shown, whose upper left
    corner is `corner`, and `steps` turn it upright.
    """

    def __init__(self, library: ctypes.CDLL, context: Any, handle: Any) -> None:
        self._library, self._context, self._handle = library, context, handle
        self.has_alpha = bool(library.heif_image_handle_has_alpha_channel(handle))
        self.stored = _size(library, handle, "heif_image_handle_get_ispe")
        self.corner = (0, 0)
        self.steps: list[Step] = []
        self.item = self.item_of(library.heif_image_handle_get_item_id(handle))
        self._read_steps(self.item.number)
        upright = _size(library, handle, "heif_image_handle_get")
        turned = orientation_of(self.steps) in SIDEWAYS
        self.size = (upright[1], upright[0]) if turned else upright

    def _read_steps(self, item: int) -> None:
        library, context = self._library, self._context
        ids = (UINT * STEPS_MAX)()
        count = library.heif_item_get_transformation_properties(context, item, ids, STEPS_MAX)
        left = self.stored
        for place in ((context, item, step) for step in ids[:count]):
            kind = library.heif_item_get_property_type(*place).to_bytes(4, "big")
            if kind == b"irot":
                angle = library.heif_item_get_property_transform_rotation_ccw(*place)
                self.steps.append(("irot", angle // 90))
            elif kind == b"imir":
                mirror = library.heif_item_get_property_transform_mirror(*place)
                self.steps.append(("imir", mirror))
            else:
                left = self._cut(place, left)

    def _cut(self, place: tuple[Any, int, int], size: tuple[int, int]) -> tuple[int, int]:
        """Cut off what is not to be shown of what is left, as it is turned by now."""
        turned = orientation_of(self.steps) in SIDEWAYS
        borders = [INT() for _ in range(4)]
        ask = self._library.heif_item_get_property_transform_crop_borders
        ask(*place, *(size[::-1] if turned else size), *map(ctypes.byref, borders))
        left, top, right, bottom = unturned(self.steps, [max(one.value, 0) for one in borders])
        self.corner = (self.corner[0] + left, self.corner[1] + top)
        return size[0] - left - right, size[1] - top - bottom

    @property
    def alpha(self) -> Item | None:
        """The item that says how transparent it is, if one does.

        Raises:
            ValueError: It is not to be found.
        """
        library, handle, ids = self._library, self._handle, (UINT * AUXILIARY_MAX)()
        if not self.has_alpha:
            return None
        count = library.heif_image_handle_get_list_of_auxiliary_image_IDs(
            handle, OMIT_DEPTH, ids, AUXILIARY_MAX
        )
        alphas = (one for one in ids[:count] if self._auxiliary_type(one) in ALPHA_TYPES)
        number = next(alphas, None)
        if number is None:
            raise ValueError("there is transparency, but not to be found")
        return self.item_of(number)

    def item_of(self, number: int) -> Item:
        """The item of this number."""
        kind: int = self._library.heif_item_get_item_type(self._context, number)
        return Item(number, kind.to_bytes(4, "big"))

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
        """What the boxes say of its colours, if they do."""
        nclx = NCLX()
        if self._library.heif_image_handle_get_nclx_color_profile(self._handle, nclx).code:
            return None
        found = nclx.contents
        codes = (found.primaries, found.transfer, found.matrix)
        colours = Colours(codes, full_range=bool(found.full_range))
        self._library.heif_nclx_color_profile_free(nclx)
        return colours

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


def open_libheif() -> LibHeif | None:
    """The library that pillow_heif has loaded, or `None` where it cannot be called."""
    library = load(import_module("_pillow_heif"), PROTOTYPES)
    if library and library.heif_get_version_number_major() == VERSION:
        return LibHeif(library)
    return None


def _size(library: ctypes.CDLL, handle: Any, of: str) -> tuple[int, int]:
    width, height = (getattr(library, f"{of}_{side}") for side in ("width", "height"))
    return width(handle), height(handle)
