"""The pictures of HEVC in a HEIC file, decoded by libde265, turned into RGB by libavif in bands."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from app.images.bands import BAND_ROWS
from app.images.boxes import Properties, aperture_of, size_of
from app.images.foreign import address_of, forget
from app.images.hevc import Format, find_config, read_format, units
from app.images.items import Items
from app.images.layers import Layer
from app.images.libavif import LibAvif
from app.images.libde265 import LibDe265, Picture
from app.images.mosaic import Size
from app.images.yuv import AS_JPEG, FORMATS, GREY, Colours, Rgb, in_rgb, lend

BLOCK_SIDE = 64
"""Pixels that a coded picture may be larger than shown: it is made of whole blocks."""

DEPTHS = (8, 10, 12)
"""What libavif takes."""

TURNS = frozenset((b"irot", b"imir"))


class Coded:
    """The items of a file that are coded pictures."""

    def __init__(self, file: memoryview, libde265: LibDe265, libavif: LibAvif) -> None:
        self._file = file
        self.items, self._properties = Items(file), Properties(file)
        self._libde265, self._libavif = libde265, libavif

    def size(self, item: int) -> Size:
        """As announced, in pixels.

        Raises:
            ValueError: It is not.
        """
        return size_of(self._file, self._properties.of(item))

    def tile_size(self, item: int) -> Size | None:
        """Of a tile, less what its encoder has filled it up with; `None` where more is done to it.

        Raises:
            ValueError: It is not announced.
        """
        properties, size = self._properties.of(item), self.size(item)
        for box in properties:
            if box.kind == b"clap":
                cut = aperture_of(self._file, box, size)
                if not cut:
                    return None
                size = cut
        return None if any(box.kind in TURNS for box in properties) else size

    def format(self, items: Sequence[int], size: Size) -> Format | None:
        """Of pictures that are all as large and of one format; `None` where libavif takes none.

        What libde265 will find is no more than what is told here.

        Raises:
            ValueError: They are damaged, or not as announced.
        """
        found = {self._format(item) for item in items}
        n_bytes = sum(len(piece) for item in items for piece in self.items.pieces(item))
        if n_bytes > len(self._file):
            raise ValueError("parts of it are there more than once")
        format_ = found.pop()
        fits = (side <= most + BLOCK_SIDE for side, most in zip(format_.size, size, strict=True))
        if found or not all(fits):
            raise ValueError("a picture is not as announced")
        depth, other = format_.depths
        alike = depth == other or format_.chroma == GREY
        return format_ if depth in DEPTHS and format_.chroma in FORMATS and alike else None

    def push(
        self,
        stack: ExitStack,
        item: int,
        colours: Colours | None = None,
        *,
        finely: bool,
        grey: bool,
    ) -> Layer:
        """Give it to a decoder, which copies it, and lives until the layer or the stack ends.

        From a file that can be written its bytes are given back to the system, and read as zeros.

        Args:
            stack: Ends the decoder at last.
            item: Its number.
            colours: What its samples mean, where that is not said by the picture itself.
            finely: As `LibDe265.decoding` has it.
            grey: Have only its brightness.

        Raises:
            ValueError: It is cut off.
        """
        own = stack.enter_context(ExitStack())
        config = find_config(self._file, self._properties.of(item))
        limit = math.prod(read_format(config).size)
        decoder = own.enter_context(self._libde265.decoding(size_limit=limit, finely=finely))
        decoder.push(config.units)
        decoder.push(units(self.items.data(item), config.length_bytes))
        if not self._file.readonly:
            self._give_back(item)

        @contextmanager
        def decoded() -> Iterator[Rgb]:
            with own, _lent(self._libavif, decoder.picture(), colours, grey=grey) as rgb:
                yield rgb

        return decoded

    def _give_back(self, item: int) -> None:
        for piece in self.items.pieces(item):
            with address_of(piece) as at:
                forget(at, len(piece))

    def _format(self, item: int) -> Format:
        return read_format(find_config(self._file, self._properties.of(item)))


@contextmanager
def _lent(
    library: LibAvif, picture: Picture, colours: Colours | None, *, grey: bool
) -> Iterator[Rgb]:
    found = AS_JPEG if grey else colours or picture.colours
    planes, chroma = (picture.planes[:1], GREY) if grey else (picture.planes, picture.chroma)
    with library.images(1) as (image,):
        image.range, image.colours[:] = found.full_range, found.codes
        lend(image, planes, chroma)
        with in_rgb(library, image, BAND_ROWS) as rgb:
            yield rgb
