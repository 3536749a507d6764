"""Boxes of HEIC and AVIF files, and what HEVC has in them, found without reading past them."""

import struct

import pytest

from app.images.boxes import Box, Properties, aperture_of, boxes, find
from app.images.hevc import Config, Format, find_config, read_format, units
from app.images.structure import PARTS_MAX


def box(kind: bytes, *inside: bytes) -> bytes:
    content = b"".join(inside)
    return struct.pack(">I", 8 + len(content)) + kind + content


def large(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 1) + kind + struct.pack(">Q", 16 + len(content)) + content


def kinds(data: bytes) -> list[bytes]:
    return [one.kind for one in boxes(memoryview(data), 0, len(data))]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", []),
        (box(b"ftyp", b"heic") + box(b"mdat"), [b"ftyp", b"mdat"]),
        (large(b"mdat", b"12") + box(b"meta"), [b"mdat", b"meta"]),
        (box(b"ftyp") + b"\0\0\0\0mdatto the end", [b"ftyp", b"mdat"]),
        (box(b"ftyp") + box(b"mdat", b"12345")[:-1], [b"ftyp"]),
        (box(b"ftyp") + b"\0\0\0\7mdat", [b"ftyp"]),
        (box(b"ftyp") + large(b"mdat", b"")[:-1], [b"ftyp"]),
        (box(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 15), [b"ftyp"]),
        (box(b"ftyp") + b"\0\0\0", [b"ftyp"]),
    ],
)
def test_boxes_are_told_up_to_the_first_damaged_one(data: bytes, found: list[bytes]) -> None:
    assert kinds(data) == found


def test_no_more_boxes_are_told_than_a_picture_needs() -> None:
    assert len(kinds(box(b"free") * (PARTS_MAX + 5))) == PARTS_MAX


def heif(*parts: bytes, item: bytes = b"") -> memoryview:
    said = box(b"ipma", item)
    return memoryview(box(b"meta", bytes(4), box(b"iprp", box(b"ipco", *parts), said)))


SHORT = struct.pack(">IIHBBBHBB", 0, 2, 1, 2, 0x80 | 2, 1, 2, 1, 3)
"""Item 1 has the properties 2 and 1, item 2 has 3."""

LONG = struct.pack(">IIIBHHIBH", 1 << 24 | 1, 2, 1, 2, 1 << 15 | 2, 1, 2, 1, 3)
PARTS = (box(b"one "), box(b"two "), box(b"thre"))


def properties(file: memoryview, item: int) -> list[Box]:
    return Properties(file).of(item)


@pytest.mark.parametrize("item", [SHORT, LONG])
def test_the_properties_of_an_item_are_its_own(item: bytes) -> None:
    file = heif(*PARTS, item=item)
    assert [one.kind for one in properties(file, 1)] == [b"two ", b"one "]
    assert [one.kind for one in properties(file, 2)] == [b"thre"]
    assert properties(file, 3) == []


def test_properties_that_are_not_there_are_passed_over() -> None:
    assert [one.kind for one in properties(heif(*PARTS[:1], item=SHORT), 1)] == [b"one "]
    assert properties(memoryview(box(b"meta", bytes(4))), 1) == []
    assert properties(heif(*PARTS, item=SHORT[:9]), 1) == []


def clap(*numbers: int) -> memoryview:
    return memoryview(struct.pack(">IIIIiIiI", *numbers))


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ((48, 1, 40, 1, -16, 2, -24, 2), (48, 40)),
        ((48, 1, 40, 1, -8, 1, -48, 4), (48, 40)),
        ((64, 1, 64, 1, 0, 1, 0, 1), (64, 64)),
        ((48, 1, 40, 1, 0, 2, -24, 2), None),
        ((48, 1, 40, 1, -16, 2, 24, 2), None),
        ((65, 1, 64, 1, 1, 2, 0, 1), None),
        ((0, 1, 64, 1, -64, 2, 0, 1), None),
        ((96, 2, 64, 1, -16, 2, 0, 1), None),
        ((64, 1, 64, 1, 0, 0, 0, 1), None),
    ],
)
def test_an_aperture_may_cut_off_what_is_right_and_below(
    numbers: tuple[int, ...], found: tuple[int, int] | None
) -> None:
    data = clap(*numbers)
    assert aperture_of(data, Box(b"clap", 0, 0, len(data)), (64, 64)) == found


def test_a_path_leads_through_the_first_box_of_each_name() -> None:
    file = memoryview(box(b"free") + box(b"meta", bytes(4), box(b"iref", bytes(4), box(b"auxl"))))
    found = find(file, b"meta", b"iref", b"auxl")
    assert found
    assert bytes(file[found.at : found.end]) == box(b"auxl")
    assert find(file, b"meta", b"iprp", b"ipco") is None


def config(*arrays: bytes, count: int | None = None) -> bytes:
    head = bytes(21) + bytes((3, len(arrays) if count is None else count))
    return box(b"hvcC", head, *arrays)


def array(*parts: bytes) -> bytes:
    said = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    return struct.pack(">BH", 32, len(parts)) + said


def bits_of(*parts: tuple[int, int]) -> bytes:
    text = "".join(f"{value:0{width}b}" for value, width in parts) + "1"
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def coded(number: int) -> tuple[int, int]:
    """As exponential Golomb codes have it (ITU-T H.265 §9.2)."""
    return number + 1, 2 * (number + 1).bit_length() - 1


def parameters(chroma: int, width: int, height: int, *, layers: int = 0) -> bytes:
    apart = [(0, 1)] if chroma == 3 else []
    head = [(0, 4), (layers, 3), (1, 1), (0, 96), coded(0), coded(chroma), *apart]
    rest = [coded(width), coded(height), (1, 1), *map(coded, (0, 1, 0, 2)), coded(2), coded(0)]
    body = bits_of(*head, *rest)
    return b"\x42\1" + body.replace(b"\0\0\0", b"\0\0\3\0")


def config_of(inside: bytes) -> Config:
    file = heif(inside, item=ITEM)
    return find_config(file, properties(file, 1))


@pytest.mark.parametrize("chroma", [0, 1, 2, 3])
def test_what_a_picture_says_of_itself_is_read(chroma: int) -> None:
    found = config_of(config(array(parameters(chroma, 8192, 5464))))
    assert read_format(found) == Format(chroma, (8192, 5464), (10, 8))


@pytest.mark.parametrize(
    "parts",
    [
        (b"\x44\1\0",),
        (parameters(1, 8, 8), parameters(1, 8, 8)),
        (parameters(1, 8, 8, layers=1),),
        (parameters(1, 8, 8)[:12],),
        (parameters(1, 8, 8)[:17],),
    ],
)
def test_parameters_that_are_cut_off_or_not_one_are_an_error(parts: tuple[bytes, ...]) -> None:
    found = config_of(config(array(*parts)))
    with pytest.raises(ValueError, match=r"unpack|layer|cut off"):
        read_format(found)


ITEM = struct.pack(">IIHBB", 0, 1, 1, 1, 1)


def test_a_configuration_has_the_units_that_come_first() -> None:
    found = config_of(config(array(b"abc"), array(b"def", b"ghij")))
    assert [bytes(unit) for unit in found.units] == [b"abc", b"def", b"ghij"]
    assert found.length_bytes == 4


@pytest.mark.parametrize(
    "inside",
    [
        config(),
        config(array(b"abc"), count=2),
        config(array(b"abc")[:-1]),
        config(array(b"abc")[:4]),
        config(array(b"ab")),
        config(array(*[b"abc"] * 9)),
        box(b"hvcC", bytes(22)),
        box(b"hvcC"),
        box(b"avcC", bytes(30)),
    ],
)
def test_a_damaged_configuration_is_an_error(inside: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|no such|more than"):
        config_of(inside)


UNFIT = {
    "no whole length": b"\0",
    "cut off": b"\0\2a",
    "empty": b"\0\0",
    "too many": b"\0\3\2\1\0" * 2000,
    "parameters": b"\0\3\x42\1\0",
    "two pictures": b"\0\3\2\1\x80" * 2,
}


def test_units_stand_behind_their_lengths() -> None:
    data = memoryview(b"\0\3\2\1\0\0\4\4\1\x80e")
    assert [bytes(unit) for unit in units(data, 2)] == [b"\2\1\0", b"\4\1\x80e"]
    assert list(units(memoryview(b""), 4)) == []


@pytest.mark.parametrize("data", UNFIT.values(), ids=UNFIT.keys())
def test_units_that_are_cut_off_too_many_or_of_another_picture_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"unit|more than one picture"):
        list(units(memoryview(data), 2))
