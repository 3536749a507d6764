"""Turns and mirrors that HEIC and AVIF have (ISO 23008-12 §6.5.10, §6.5.12), as EXIF's number."""

from collections.abc import Iterable, Sequence
from typing import Literal

Step = tuple[Literal["irot", "imir"], int]
"""So many quarter turns to the left; or a mirror, 0 top to bottom, 1 left to right."""

ORIENTATIONS = {
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (0, 1): 2,
    (1, 0): 5,
    (1, 1): 7,
    (2, 0): 2,
    (2, 1): 4,
    (3, 0): 7,
    (3, 1): 5,
}
"""By turns, and by the mirror behind them. What EXIF itself says in such a file does not count
(§A.2.1)."""


def orientation_of(steps: Iterable[Step]) -> int:
    """The orientation, 1 to 8, that these say, one after the other."""
    turns, mirror = 0, None
    for kind, by in steps:
        if kind == "irot":
            turns += by if mirror is None else -by
        elif mirror is None:
            mirror = by
        else:
            # Two mirrors undo one another, or are half a turn.
            turns, mirror = turns + 2 * (mirror != by), None
    return ORIENTATIONS.get((turns % 4, mirror), 1)


def unturned(steps: Sequence[Step], borders: Sequence[int]) -> Sequence[int]:
    """What lies left, above, right and below in a picture before it was turned by these steps."""
    for kind, by in reversed(steps):
        left, top, right, bottom = borders
        if kind == "imir":
            borders = (right, top, left, bottom) if by else (left, bottom, right, top)
        else:
            borders = (*borders[-by % 4 :], *borders[: -by % 4])
    return borders
