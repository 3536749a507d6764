"""HEVC as it lies in a HEIC file (ISO/IEC 14496-15 §8.3): units, and what comes first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.images.boxes import Box

LENGTH_BYTES_AT, ARRAYS_AT = 21, 22
"""In the decoder's configuration: how many bytes a length has, and how many arrays follow."""

UNITS_MAX = 1024
"""Of one picture. Encoders make one for each of its slices."""

SETS_MAX = 8
"""Units of parameters. Encoders write three: of the video, of the picture and of its slices."""

PICTURE_SET = 33
PARAMETER_SETS = range(32, 35)
SLICES = range(32)
"""Types of units (ITU-T H.265 §7.4.2.2)."""

HEADER_BYTES = 2
FIRST_SLICE = 0x80
"""Of the byte behind a slice's header, where a picture begins."""

PROFILE_BITS = 96
"""Of the general profile, its flags and its level (§7.3.3)."""

READ_BYTES = 256
"""Of a set of parameters: what is read stands far in front."""


@dataclass(frozen=True, slots=True)
class Config:
    """The units that come before the picture's own, and how many bytes the length of those has."""

    units: tuple[memoryview, ...]
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Format:
    """What a picture's samples are: chroma 0 is grey, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4."""

    chroma: int
    size: tuple[int, int]
    depths: tuple[int, int]


def read_format(config: Config) -> Format:
    """What the only set of picture parameters says (ITU-T H.265 §7.3.2.2).

    Raises:
        ValueError: There is none, or more than one, or it is of more than one layer.
    """
    (found,) = [unit for unit in config.units if kind_of(unit) == PICTURE_SET]
    bits = _Bits(bytes(found[HEADER_BYTES:READ_BYTES]).replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    if bits.take(3):
        raise ValueError("it has more than one layer")
    bits.take(1 + PROFILE_BITS)
    bits.number()
    chroma = bits.number()
    if chroma == 3:  # noqa: PLR2004  # 4:4:4, as the class says
        bits.take(1)
    size = (bits.number(), bits.number())
    if bits.take(1):
        for _ in range(4):
            bits.number()
    return Format(chroma, size, (8 + bits.number(), 8 + bits.number()))


def kind_of(unit: memoryview) -> int:
    """The type of a unit."""
    return unit[0] >> 1 & 63


class _Bits:
    """Reads numbers of bits (§7.2, §9.2)."""

    def __init__(self, data: bytes) -> None:
        self._text = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
        self._at = 0

    def take(self, count: int) -> int:
        text = self._text[self._at : self._at + count]
        if len(text) < count:
            raise ValueError("the parameters are cut off")
        self._at += count
        return int(text, 2)

    def number(self) -> int:
        """One whose length is told by the zeros before it."""
        one = self._text.find("1", self._at)
        if one < 0:
            raise ValueError("the parameters are cut off")
        zeros, self._at = one - self._at, one
        return self.take(zeros + 1) - 1


def find_config(file: memoryview, properties: Sequence[Box]) -> Config:
    """The configuration among the properties of an item.

    Raises:
        ValueError: It has none, or one that is damaged.
    """
    box = next((box for box in properties if box.kind == b"hvcC"), None)
    if not box:
        raise ValueError("there is no such configuration")
    return _config(file[box.start : box.end])


def units(data: memoryview, length_bytes: int) -> Iterator[memoryview]:
    """The units of a picture, each of which stands behind its length.

    Raises:
        ValueError: They are cut off, too many, or of more than a picture.
    """
    at = pictures = 0
    for _ in range(UNITS_MAX):
        if at == len(data):
            return
        unit = _taken(data, at, length_bytes)
        at += length_bytes + len(unit)
        if len(unit) <= HEADER_BYTES or kind_of(unit) in PARAMETER_SETS:
            raise ValueError("there is a unit that has no place in a picture")
        pictures += kind_of(unit) in SLICES and bool(unit[HEADER_BYTES] & FIRST_SLICE)
        if pictures > 1:
            raise ValueError("there is more than one picture")
        yield unit
    raise ValueError("there are too many units")


def _config(data: memoryview) -> Config:
    found = list[memoryview]()
    at = ARRAYS_AT + 1
    for _ in range(data[ARRAYS_AT] if len(data) > ARRAYS_AT else 0):
        count = int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        if at > len(data):
            raise ValueError("the configuration is cut off")
        for _ in range(count):
            found.append(_taken(data, at, 2))
            at += 2 + len(found[-1])
            if len(found[-1]) <= HEADER_BYTES or len(found) > SETS_MAX:
                raise ValueError("the configuration has more than a picture needs")
    if not found:
        raise ValueError("the configuration is cut off")
    return Config(tuple(found), 1 + data[LENGTH_BYTES_AT] % 4)


def _taken(data: memoryview, at: int, length_bytes: int) -> memoryview:
    start = at + length_bytes
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise ValueError("a unit is cut off")
    return data[start:end]
