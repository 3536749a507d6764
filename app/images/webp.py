"""WebP (RFC 9649): the first frame found in its file, and decoded by libwebp to the size wanted.

Pillow's decoder is made for animations: it holds two canvases and a copy of the frame.
"""

import math
from dataclasses import dataclass

from PIL import Image

from app.errors import ImageUnreadable
from app.images.bands import BAND_ROWS, band_bytes
from app.images.colour import to_8_bits
from app.images.foreign import forget, give_back
from app.images.kept import KeptRows
from app.images.libwebp import Decoded, LibWebP
from app.images.picture import PIXEL_BYTES, divided, factor
from app.images.structure import PARTS_MAX, read_orientation

HEADER_BYTES, CHUNK_HEADER_BYTES = 12, 8
FRAME_HEADER_BYTES = 16
"""Of an ANMF chunk (§2.7.1.1): place, size, duration, and how to blend."""

CANVAS_END = 10
"""Of a VP8X chunk's bytes."""

PAYLOAD_MAX_BYTES = 1 << 20
"""Of metadata. Profiles have 0.5 to 600 kB, and a camera's orientation stands far in front."""

LOSSLESS_BYTES, ALPHA_BYTES = 4, 2
"""A pixel in libwebp while it decodes a VP8L or an ALPH chunk, whatever size is asked for."""

RGB_BYTES = 3
"""A pixel, as it is kept."""

CODES_BYTES = 1 << 23
"""Of the tables of codes in either of them, which hardly grow with the picture."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The first frame: its chunks, the place of its upper left corner, and what the file says.

    `canvas` is `None` where the file does not say, since the frame is all of it.
    """

    chunks: memoryview
    lossless: bool
    place: tuple[int, int]
    canvas: tuple[int, int] | None
    exif: bytes | None
    icc: bytes | None


class WebpPicture:
    """A WebP that libwebp opens. It is placed on its canvas, which is white."""

    def __init__(self, body: memoryview, library: LibWebP) -> None:
        self._library = library
        self._frame = frame = find_frame(body)
        features = library.features(frame.chunks)
        self._frame_size = (features.width, features.height)
        self._has_alpha = bool(features.has_alpha)
        self.size = frame.canvas or self._frame_size
        if any(map(_hangs_over, frame.place, self._frame_size, self.size)):
            raise ImageUnreadable("This WebP's first frame is larger than its picture.")
        self.orientation = read_orientation(frame.exif)
        self.icc = frame.icc

    def decoding_bytes(self, max_side: int) -> int:
        """Bytes held at most while `decode(max_side)` runs, the file itself not counted."""
        by = factor(self.size, max_side)
        inside = LOSSLESS_BYTES if self._frame.lossless else ALPHA_BYTES * self._has_alpha
        held = math.prod(self._frame_size) * inside + (CODES_BYTES if inside else 0)
        small = math.prod(divided(self.size, by))
        return held + small * (RGB_BYTES + PIXEL_BYTES) + band_bytes(self.size[0] // by)

    def decode(self, max_side: int) -> Image.Image:
        """The first frame on its canvas, scaled down to about `max_side`.

        Raises:
            ValueError: It is cut off or damaged.
        """
        by = factor(self.size, max_side)
        size, whole = divided(self._frame_size, by), divided(self.size, by)
        kept = KeptRows("RGB", size)
        for part in self._parts(by):
            self._decode_part(size, part, kept)
            give_back()
        left, top = (at // by for at in self._frame.place)
        # Filled, all of it would stand there before the first row goes.
        canvas = Image.new("RGB", whole, None if size == whole else "white")
        for row in range(0, size[1], BAND_ROWS):
            canvas.paste(kept(row, min(row + BAND_ROWS, size[1])), (left, top + row))
        return canvas

    def _parts(self, by: int) -> tuple[range | None, ...]:
        """The rows to decode at a time; `None` is all of them.

        Those of a lossless picture, and of what is made of it, have four bytes a pixel each.
        """
        half = self._frame_size[1] // 2 // 2 * 2
        if by == 1 and self._frame.lossless and self._has_alpha and half:
            return range(half), range(half, self._frame_size[1])
        return (None,)

    def _decode_part(self, size: tuple[int, int], rows: range | None, into: KeptRows) -> None:
        first = rows[0] if rows else 0
        with self._library.decoded(self._frame.chunks, size, rows) as decoded:
            # Else the C library keeps what libwebp worked with.
            give_back()
            for row in range(0, decoded.size[1], BAND_ROWS):
                forget(decoded.address, row * decoded.stride)
                into.put(_band(decoded, row), first + row)


def find_frame(data: memoryview) -> Frame:
    """The first frame of an animation, or the one that there is.

    Raises:
        ImageUnreadable: It is cut off, damaged, or made to cost time.
    """
    end = CHUNK_HEADER_BYTES + _number(data[4:8])
    if end > len(data):
        raise ImageUnreadable("This WebP file is cut off.")
    outside = inside = _chunks(data, HEADER_BYTES, end)
    place = (0, 0)
    if frame := outside.get(b"ANMF"):
        header = frame.start + CHUNK_HEADER_BYTES
        place = (2 * _number(data[header : header + 3]), 2 * _number(data[header + 3 : header + 6]))
        inside = _chunks(data, header + FRAME_HEADER_BYTES, frame.stop)
    lossless = inside.get(b"VP8L")
    samples = lossless or inside.get(b"VP8 ")
    if not samples:
        raise ImageUnreadable("This WebP file is damaged: it has no picture in it.")
    first = samples if lossless else inside.get(b"ALPH", samples)
    return Frame(
        chunks=data[min(first.start, samples.start) : samples.stop],
        lossless=bool(lossless),
        place=place,
        canvas=_canvas(data, outside),
        exif=_payload(data, outside.get(b"EXIF")),
        icc=_payload(data, outside.get(b"ICCP")) or None,
    )


def _chunks(data: memoryview, at: int, end: int) -> dict[bytes, slice]:
    """Where the first chunk of each name lies, its header included (§2.3)."""
    found: dict[bytes, slice] = {}
    for _ in range(PARTS_MAX):
        if at + CHUNK_HEADER_BYTES > end:
            return found
        behind = at + CHUNK_HEADER_BYTES + _number(data[at + 4 : at + 8])
        if behind > end:
            raise ImageUnreadable("This WebP file is cut off or damaged.")
        found.setdefault(bytes(data[at : at + 4]), slice(at, behind))
        at = behind + behind % 2
    raise ImageUnreadable(f"This WebP consists of more than {PARTS_MAX} chunks.")


def _canvas(data: memoryview, chunks: dict[bytes, slice]) -> tuple[int, int] | None:
    """Width and height, each less one, behind the flags of the VP8X chunk (§2.7)."""
    if b"VP8X" not in chunks:
        return None
    header = _payload(data, chunks[b"VP8X"]) or b""
    if len(header) < CANVAS_END:
        raise ImageUnreadable("This WebP file is damaged: its header is too short.")
    return 1 + _number(header[4:7]), 1 + _number(header[7:10])


def _payload(data: memoryview, chunk: slice | None) -> bytes | None:
    if not chunk:
        return None
    start = chunk.start + CHUNK_HEADER_BYTES
    return bytes(data[start : min(chunk.stop, start + PAYLOAD_MAX_BYTES)])


def _number(data: memoryview | bytes) -> int:
    return int.from_bytes(data, "little")


def _hangs_over(at: int, side: int, canvas: int) -> bool:
    return at + side > canvas


def _band(decoded: Decoded, top: int) -> Image.Image:
    """The rows from `top` on, what is transparent in white."""
    width, rows = decoded.size[0], min(BAND_ROWS, decoded.size[1] - top)
    samples = decoded.samples[top * decoded.stride :]
    mode = decoded.mode
    band = Image.frombytes(mode, (width, rows), samples, "raw", mode, decoded.stride)
    return to_8_bits(band, None)
