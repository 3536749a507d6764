"""HEVC as it lies in a HEIC file (ISO/IEC 14496-15 §8.3): units, and what comes first."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.images.boxes import properties

LENGTH_BYTES_AT, ARRAYS_AT = 21, 22
"""In the decoder's configuration: how many bytes a length has, and how many arrays follow."""

UNITS_MAX = 4096
"""Of one picture. Encoders make one for each of its slices."""


@dataclass(frozen=True, slots=True)
class Config:
    """The units that come before the picture's own, and how many bytes the length of those has."""

    units: tuple[memoryview, ...]
    length_bytes: int


def find_config(file: memoryview, item: int) -> Config:
    """The configuration that is a property of that item.

    Raises:
        ValueError: It has none, or one that is damaged.
    """
    box = next((box for box in properties(file, item) if box.kind == b"hvcC"), None)
    if not box:
        raise ValueError("there is no such configuration")
    return _config(file[box.start : box.end])


def units(data: memoryview, length_bytes: int) -> Iterator[memoryview]:
    """The units of a picture, each of which stands behind its length.

    Raises:
        ValueError: They are cut off, or too many.
    """
    at = 0
    for _ in range(UNITS_MAX):
        if at == len(data):
            return
        unit = _taken(data, at, length_bytes)
        at += length_bytes + len(unit)
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
        for _ in range(min(count, UNITS_MAX)):
            found.append(_taken(data, at, 2))
            at += 2 + len(found[-1])
    if not found:
        raise ValueError("the configuration is cut off")
    return Config(tuple(found), 1 + data[LENGTH_BYTES_AT] % 4)


def _taken(data: memoryview, at: int, length_bytes: int) -> memoryview:
    start = at + length_bytes
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise ValueError("a unit is cut off")
    return data[start:end]
