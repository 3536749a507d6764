"""Film grain, told by the last bit of the sequence's header."""

import pytest

from app.images.av1 import UNITS_MAX, has_grain

DELIMITER = b"\x12\0"
GRAINY, CLEAN = b"\x0a\3\1\2\xc0", b"\x0a\3\1\2\x40"
"""A header of three bytes: the bit, a 1, and zeros."""


@pytest.mark.parametrize(
    ("data", "grain"),
    [
        (GRAINY, True),
        (CLEAN, False),
        (DELIMITER + GRAINY, True),
        (b"\x0e\x08\3\1\2\xc0", True),  # Of a layer
        (b"\x0a\x83\0\1\2\xc0", True),  # Its length has a byte too many
        (b"\x08\1\2\xc0", True),  # Without a length it goes to the end
        (b"\x0a\4\1\2\x80\0", False),
        (b"\x0a\4\1\1\x80\0", True),
        (GRAINY[:2], False),
        (b"\x12\1", False),
        (b"", False),
        (b"\x0a" + b"\xff" * 20, True),
        (DELIMITER * UNITS_MAX + GRAINY, False),
        (b"\x12" + b"\x80" * 9, False),
    ],
)
def test_grain_is_told_from_its_absence(data: bytes, *, grain: bool) -> None:
    assert has_grain(memoryview(data)) is grain
