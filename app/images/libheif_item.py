"""An item of a HEIC file, as libheif finds it: what kind it is, and its bytes."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.images.libheif_abi import POINTER, SIZE, checked


class Item:
    """One picture, or part of one, that is stored by itself."""

    def __init__(self, library: ctypes.CDLL, context: Any, number: int) -> None:
        self._library, self._context, self.number = library, context, number

    @property
    def kind(self) -> bytes:
        """Its type, such as `hvc1`."""
        kind: int = self._library.heif_item_get_item_type(self._context, self.number)
        return kind.to_bytes(4, "big")

    @contextmanager
    def data(self) -> Iterator[memoryview]:
        """Its bytes, which are a copy and valid within the block.

        Raises:
            ValueError: They are cut off.
        """
        data, size = POINTER(), SIZE()
        library, context = self._library, self._context
        where = (None, ctypes.byref(data), ctypes.byref(size))
        try:
            checked(library.heif_item_get_item_data(context, self.number, *where))
            n_bytes = size.value if data.value else 0
            yield memoryview((ctypes.c_ubyte * n_bytes).from_address(data.value or 0)).cast("B")
        finally:
            library.heif_release_item_data(context, ctypes.byref(data))
