"""libtiff (tiffio.h, 4.x): a TIFF read row by row, from where it lies in memory.

Pillow's way in decodes a strip at a time, and some programs write all of a picture in one.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import _imaging

from app.images.foreign import address_of, load
from app.images.reading import open_pieces

INT, SIZE, OFFSET, POINTER = ctypes.c_int, ctypes.c_ssize_t, ctypes.c_uint64, ctypes.c_void_p

_Transfer = ctypes.CFUNCTYPE(SIZE, POINTER, POINTER, SIZE)
_Seek = ctypes.CFUNCTYPE(OFFSET, POINTER, OFFSET, INT)
_Close = ctypes.CFUNCTYPE(INT, POINTER)
_Size = ctypes.CFUNCTYPE(OFFSET, POINTER)
_Map = ctypes.CFUNCTYPE(INT, POINTER, ctypes.POINTER(POINTER), ctypes.POINTER(OFFSET))
_Unmap = ctypes.CFUNCTYPE(None, POINTER, POINTER, OFFSET)

_CALLS = (_Transfer, _Transfer, _Seek, _Close, _Size, _Map, _Unmap)

PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "TIFFSetErrorHandler": (POINTER, (POINTER,)),
    "TIFFSetWarningHandler": (POINTER, (POINTER,)),
    "TIFFClientOpen": (
        POINTER,
        (*(ctypes.c_char_p, ctypes.c_char_p, POINTER), *_CALLS),
    ),
    "TIFFScanlineSize": (SIZE, (POINTER,)),
    "TIFFReadScanline": (INT, (POINTER, POINTER, ctypes.c_uint32, ctypes.c_uint16)),
    "TIFFClose": (None, (POINTER,)),
}


class LibTiff:
    """The library, once its functions are found."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        # It would write of every damaged file to the process's standard error.
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)

    @contextmanager
    def opened(self, file: memoryview) -> Iterator["Rows"]:
        """The first picture of a file, to be read from top to bottom; valid within the block.

        Args:
            file: It stays where it is in memory, and is not copied.

        Raises:
            ValueError: It is damaged.
        """
        with address_of(file) as at:
            calls = _calls(file, at)
            opened = self._library.TIFFClientOpen(b"picture", b"r", None, *calls)
            if not opened:
                raise ValueError("libtiff cannot open it")
            try:
                yield Rows(self._library, opened)
            finally:
                self._library.TIFFClose(opened)


class Rows:
    """The rows of a picture, as they are stored but for compression."""

    def __init__(self, library: ctypes.CDLL, opened: Any) -> None:
        self._library, self._opened = library, opened
        self.row_bytes: int = library.TIFFScanlineSize(opened)

    def read(self, top: int, bottom: int) -> bytes:
        """These rows: the next ones, or the first ones once more.

        Raises:
            ValueError: They are cut off or damaged.
        """
        samples = bytearray(self.row_bytes * (bottom - top))
        with address_of(memoryview(samples)) as at:
            for row in range(top, bottom):
                into = at + (row - top) * self.row_bytes
                if self._library.TIFFReadScanline(self._opened, into, row, 0) != 1:
                    raise ValueError("libtiff cannot read a row")
        return bytes(samples)


def open_libtiff() -> LibTiff | None:
    """The library that Pillow has loaded, or `None` where it cannot be called."""
    library = load(_imaging, PROTOTYPES)
    return LibTiff(library) if library else None


def _calls(file: memoryview, address: int) -> tuple[Any, ...]:
    """How libtiff reads a file: its header by these, the rest where it lies."""
    place = open_pieces((file,))

    def read(_: Any, into: int, n_bytes: int) -> int:
        piece = place.read(n_bytes)
        ctypes.memmove(into, piece, len(piece))
        return len(piece)

    def lend(_: Any, base: Any, size: Any) -> int:
        base[0], size[0] = address, len(file)
        return 1

    return (
        _Transfer(read),
        _Transfer(lambda *_: -1),
        _Seek(lambda _, offset, whence: place.seek(offset, whence)),
        _Close(lambda _: 0),
        _Size(lambda _: len(file)),
        _Map(lend),
        _Unmap(lambda *_: None),
    )
