"""The pictures that a search can find: drawn here, always the same, each with a title."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from simulator.pictures import PICTURES, Picture
from simulator.similarity import describe, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.similarity import Vector


def find(name: str) -> Picture | None:
    """The picture with this name."""
    return _BY_NAME.get(name)


@cache
def jpeg(name: str) -> bytes:
    """The picture's file; drawn once in a process."""
    return _BY_NAME[name].draw().jpeg()


def nearest(wanted: Vector, count: int) -> list[Picture]:
    """The pictures most like the described one, nearest first; at most the whole gallery."""
    return [PICTURES[row] for row in rank(wanted, _shelf())[:count]]


@cache
def _shelf() -> NDArray[np.float32]:
    return np.stack([_described(picture.name) for picture in PICTURES])


def _described(name: str) -> Vector:
    with Image.open(io.BytesIO(jpeg(name))) as picture:
        return describe(picture.convert("RGB"))


_BY_NAME: Final = {picture.name: picture for picture in PICTURES}
