"""Rows put by until a decoder's memory is free, with no more bytes than they have samples.

Pillow has four of RGB.
"""

import mmap

from PIL import Image

from app.images.foreign import address_of, forget


class KeptRows:
    """Rows of bytes, written from top to bottom, then read so, each once.

    What lies above is given back to the system while they are read, as by `FadingRows`.
    """

    def __init__(self, mode: str, size: tuple[int, int]) -> None:
        self._mode, self._size = mode, size
        self._row_bytes = size[0] * len(mode)
        # The system's own pages: they take no memory until they are written.
        n_bytes, how = self._row_bytes * size[1], mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._samples = memoryview(mmap.mmap(-1, n_bytes, how))

    def put(self, band: Image.Image, top: int) -> None:
        """Write the rows of a band, which is as wide as all and of the same mode."""
        samples = band.tobytes()
        at = top * self._row_bytes
        self._samples[at : at + len(samples)] = samples

    def __call__(self, top: int, bottom: int) -> Image.Image:
        with address_of(self._samples) as at:
            forget(at, top * self._row_bytes)
        rows = self._samples[top * self._row_bytes : bottom * self._row_bytes]
        return Image.frombytes(self._mode, (self._size[0], bottom - top), rows)
