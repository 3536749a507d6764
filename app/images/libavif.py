"""libavif (include/avif/avif.h, 1.x): a file into planes, and planes into RGB."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import _avif

from app.images.avif_items import Patch
from app.images.foreign import address_of, load
from app.images.libavif_abi import PROTOTYPES, AvifImage, AvifIo, AvifRead, Rect, Rgb8

OK, READ_ERROR = 0, 10
"""avifResult: `AVIF_RESULT_OK`, `AVIF_RESULT_IO_ERROR`."""

PIECES_MAX_BYTES = 1 << 20
"""Of reads that begin or end within what is replaced, and so are copies."""

ANY_SOURCE, PRIMARY_ITEM = 0, 1
"""avifDecoderSource."""

STRICT_OFF = ~3
"""Clean apertures may be wrong and pixel information missing, as in files of libheif to 1.11."""

FORMATS = {"RGB": 0, "RGBA": 1}
"""avifRGBFormat."""

SIZE_LIMIT = 16_384 * 16_384
"""The largest that libavif takes, in pixels."""


class LibAvif:
    """The library, once its functions are found and its version is known."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @contextmanager
    def images(self, count: int) -> Iterator[list[AvifImage]]:
        """Images without planes, which may be lent some; valid within the block."""
        made: list[Any] = []
        try:
            while len(made) < count:
                made.append(_made(self._library.avifImageCreateEmpty()))
            yield [image.contents for image in made]
        finally:
            for image in made:
                self._library.avifImageDestroy(image)

    def view(self, image: AvifImage, rows: range, into: AvifImage) -> None:
        """Have one image show those rows of another; the first is even.

        Raises:
            ValueError: It has no such rows.
        """
        rect = Rect(0, rows.start, image.width, len(rows))
        _check(self._library.avifImageSetViewRect(into, image, rect))

    def convert(self, image: AvifImage, mode: str, into: memoryview) -> None:
        """Write the image as RGB or RGBA of 8 bits, row by row without a gap.

        Raises:
            ValueError: It cannot be converted.
        """
        rgb = Rgb8()
        self._library.avifRGBImageSetDefaults(rgb, image)
        rgb.depth, rgb.format, rgb.row_bytes = 8, FORMATS[mode], image.width * len(mode)
        with address_of(into) as at:
            rgb.pixels = at
            _check(self._library.avifImageYUVToRGB(image, rgb))

    @contextmanager
    def parsed(
        self, file: memoryview, *, meta: Patch | None = None, size_limit: int = SIZE_LIMIT
    ) -> Iterator["Parsed"]:
        """An AVIF file whose boxes are read, its pixels not yet; valid within the block.

        Args:
            file: It stays where it is in memory, and is not copied.
            meta: Read in place of what the file has there; then its primary item is decoded, not
                its first frame.
            size_limit: Most pixels that a frame in it may have.

        Raises:
            ValueError: It is damaged.
        """
        library = self._library
        decoder = _made(library.avifDecoderCreate())
        try:
            decoder.contents.strict &= STRICT_OFF
            decoder.contents.size_limit = min(size_limit, SIZE_LIMIT)
            decoder.contents.source = PRIMARY_ITEM if meta else ANY_SOURCE
            with address_of(file) as at:
                read = AvifRead(_reader(file, at, meta))
                source = AvifIo(read=read, size=len(file), persistent=True)
                library.avifDecoderSetIO(decoder, source)
                _check(library.avifDecoderParse(decoder))
                yield Parsed(library, decoder)
        finally:
            library.avifDecoderDestroy(decoder)


class Parsed:
    """What the boxes say, and the way to the pixels."""

    def __init__(self, library: ctypes.CDLL, decoder: Any) -> None:
        self._library = library
        self._decoder = decoder
        self.image: AvifImage = decoder.contents.image.contents
        self.has_alpha = bool(decoder.contents.has_alpha)

    @property
    def icc(self) -> bytes | None:
        """The ICC profile."""
        icc = self.image.icc
        return ctypes.string_at(icc.data, icc.size) if icc.size else None

    def decode(self) -> AvifImage:
        """The first frame, its planes valid as long as this.

        Raises:
            ValueError: It is cut off or damaged.
        """
        _check(self._library.avifDecoderNextImage(self._decoder))
        image: AvifImage = self._decoder.contents.image.contents
        return image


def open_libavif() -> LibAvif | None:
    """The library that Pillow has loaded, or `None` where it cannot be called."""
    library = load(_avif, PROTOTYPES)
    if library and library.avifVersion().startswith(b"1."):
        return LibAvif(library)
    return None


def _reader(file: memoryview, address: int, meta: Patch | None) -> Callable[..., int]:
    """Reads the file where it lies, but for the part that is replaced."""
    patch = meta or Patch(len(file), b"")
    kept = ctypes.create_string_buffer(patch.data, len(patch.data) or 1)
    pieces: list[ctypes.Array[ctypes.c_char]] = []

    def read(_io: Any, flags: int, at: int, n_bytes: int, into: Any) -> int:
        if flags or at > len(file):
            return READ_ERROR
        end = min(at + n_bytes, len(file))
        into.contents.data, into.contents.size = address + at, end - at
        if patch.at <= at and end <= patch.end:
            into.contents.data = ctypes.addressof(kept) + at - patch.at
        elif at < patch.end and end > patch.at:
            if sum(map(len, pieces)) + end - at > PIECES_MAX_BYTES:
                return READ_ERROR
            pieces.append(ctypes.create_string_buffer(patch.over(file, at, end), end - at))
            into.contents.data = ctypes.addressof(pieces[-1])
        return OK

    return read


def _made(structure: Any) -> Any:
    if not structure:
        raise MemoryError("libavif found no memory")
    return structure


def _check(result: int) -> None:
    if result:
        raise ValueError(f"libavif answers with result {result}")
