"""The first frame of a GIF cut out of the rest (GIF89a §18 to §27): no comments, no animation."""

from app.errors import ImageUnreadable
from app.images.structure import PARTS_MAX, Parts, Structure

HEADER_BYTES = 13
EXTENSION, DESCRIPTOR = 0x21, 0x2C
GRAPHIC_CONTROL = 0xF9
"""Says which colour is transparent."""

DESCRIPTOR_BYTES = 10
BLOCKS_MAX = 262_144
"""Most sub-blocks before the frame's end: enough for 64 MB in blocks of the usual 255 bytes."""


def walk(data: memoryview) -> Structure:
    """The first frame as a GIF of its own; `sound` it is not, since it must be decoded.

    Raises:
        ImageUnreadable: It has no frame, or is made to cost time.
    """
    parts = Parts(data)
    at = HEADER_BYTES + _palette_bytes(data, 10)
    parts.keep(0, at)
    blocks = _Blocks(data)
    for _ in range(PARTS_MAX):
        kind = data[at] if at < len(data) else None
        if kind == EXTENSION:
            end = blocks.skip(at + 2)
            if bytes(data[at + 1 : at + 2]) == bytes((GRAPHIC_CONTROL,)):
                parts.keep(at, end)
            at = end
        elif kind == DESCRIPTOR:
            pixels = at + DESCRIPTOR_BYTES + _palette_bytes(data, at + DESCRIPTOR_BYTES - 1)
            parts.keep(at, blocks.skip(pixels + 1))
            return Structure(size=_size(data, at), parts=(*parts.views(), _TRAILER), sound=False)
        else:
            raise ImageUnreadable("This GIF is cut off or damaged before its first frame.")
    raise ImageUnreadable(f"This GIF has more than {PARTS_MAX} extensions before its first frame.")


_TRAILER = memoryview(b";")


class _Blocks:
    """Steps over chains of sub-blocks, a bounded number in all."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._left = BLOCKS_MAX

    def skip(self, at: int) -> int:
        """Behind the empty block that ends the chain, or at the end of the data."""
        data, end = self._data, len(self._data)
        while at < end and data[at]:
            at += 1 + data[at]
            self._left -= 1
            if not self._left:
                raise ImageUnreadable(f"This GIF consists of more than {BLOCKS_MAX} blocks.")
        return min(at + 1, end)


def _palette_bytes(data: memoryview, at: int) -> int:
    """Bytes of the colour table that the flags at this place announce (§18, §20)."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _size(data: memoryview, frame: int) -> tuple[int, int]:
    """Of the canvas, which a frame that hangs over makes larger."""

    def number(at: int) -> int:
        return int.from_bytes(data[at : at + 2], "little")

    return (
        max(number(6), number(frame + 1) + number(frame + 5)),
        max(number(8), number(frame + 3) + number(frame + 7)),
    )
