"""Where items lie in a file, as its boxes tell in numbers of several widths."""

import struct

import pytest

from app.images.items import Items
from tests.images.test_boxes import box


def iloc(*items: bytes, sizes: int = 0x4400, version: int = 0) -> bytes:
    code = "I" if version == 2 else "H"
    said = struct.pack(f">BBBBH{code}", version, 0, 0, 0, sizes, len(items))
    return box(b"iloc", said, *items)


def file_of(*items: bytes, inside: bytes = b"", **options: int) -> memoryview:
    """Its first bytes are those of `mdat`."""
    meta = box(b"meta", bytes(4), iloc(*items, **options), box(b"idat", inside))
    return memoryview(box(b"mdat", b"0123456789") + meta)


def item(number: int, *parts: tuple[int, int], elsewhere: int = 0) -> bytes:
    told = b"".join(struct.pack(">II", *part) for part in parts)
    return struct.pack(">HHH", number, elsewhere, len(parts)) + told


def data(file: memoryview, number: int = 1) -> bytes:
    return bytes(Items(file).data(number))


def test_an_item_of_one_piece_is_not_copied() -> None:
    file = memoryview(bytearray(file_of(item(7, (9, 2)), item(1, (8, 4)))))
    found = Items(file).data(1)
    file[8:12] = b"abcd"
    assert bytes(found) == b"abcd"


def test_pieces_are_joined() -> None:
    assert data(file_of(item(1, (13, 2), (8, 3), (8, 1)))) == b"560120"


NUMBERED = struct.pack(">HHHHHHH", 1, 0, 0, 1, 5, 10, 3)
"""With an index of two bytes before each offset and length."""
IN_IDAT = struct.pack(">HHHHII", 1, 1, 0, 1, 2, 3)
WIDE = struct.pack(">IHHQHII", 1, 0, 0, 8, 1, 2, 3)


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (file_of(NUMBERED, version=1, sizes=0x2202), b"234"),
        (file_of(IN_IDAT, version=1, inside=b"abcdefg"), b"cde"),
        (file_of(WIDE, version=2, sizes=0x4480), b"234"),
        (file_of(struct.pack(">HHHB", 1, 0, 1, 10), sizes=0x1000)[:20], None),
        (file_of(item(2, (8, 1), elsewhere=1), item(1, (8, 1))), b"0"),
    ],
)
def test_numbers_of_all_widths_are_read(file: memoryview, found: bytes | None) -> None:
    if found is None:
        with pytest.raises(ValueError, match="not there"):
            data(file)
    else:
        assert data(file) == found


def test_without_a_length_an_item_goes_to_the_end() -> None:
    file = file_of(struct.pack(">HHHB", 1, 0, 1, 10), sizes=0x1000)
    assert data(file) == bytes(file[10:])


@pytest.mark.parametrize(
    "file",
    [
        memoryview(b""),
        memoryview(box(b"meta", bytes(4), iloc(IN_IDAT, version=1))),
        file_of(item(2, (8, 1))),
        file_of(item(1, (8, 1), elsewhere=1)),
        file_of(item(1, (8, 1 << 20))),
        file_of(item(1, (1 << 20, 1))),
        file_of(item(1, (8, 1))[:-1]),
        file_of(struct.pack(">HHH", 1, 0, 9), sizes=0),
        file_of(item(1, *[(0, 40)] * 9)),
        file_of(struct.pack(">HHHHII", 1, 2, 0, 1, 2, 3), version=1),
    ],
)
def test_an_item_that_is_missing_cut_off_or_there_too_often_is_an_error(file: memoryview) -> None:
    with pytest.raises(ValueError, match=r"not there|cut off"):
        data(file)
