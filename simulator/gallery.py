"""The pictures that a search can find, and how alike two pictures are.

Each picture becomes one vector of its colours and where these are; similar pictures have near
vectors. It is measured on a small copy, so that size and compression hardly count.
"""

import io
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simulator.pictures import PICTURES, Picture

Vector = NDArray[np.float64]

NAMES: Final = frozenset(picture.name for picture in PICTURES)

_SMALL: Final = (64, 48)
_GRID: Final = (8, 6)
# Shades of each colour channel that the histogram tells apart.
_SHADES: Final = 4


@cache
def jpeg(name: str) -> bytes:
    """The file of this picture, drawn once in a process; raises `KeyError` if there is none."""
    return {picture.name: picture for picture in PICTURES}[name].jpeg()


def nearest(wanted: Vector, count: int) -> list[Picture]:
    """The pictures most like the described one, nearest first; at most the whole gallery."""
    distances = np.linalg.norm(_vectors() - wanted, axis=1)
    return [PICTURES[row] for row in np.argsort(distances, kind="stable")[:count]]


def describe(image: Image.Image) -> Vector:
    """The vector of an RGB image of any size."""
    small = image.resize(_SMALL, Image.Resampling.BOX)
    grid = np.asarray(small.resize(_GRID, Image.Resampling.BOX), dtype=np.float64)
    layout = grid.reshape(-1) / 255 / np.sqrt(_GRID[0] * _GRID[1])
    pixels = np.asarray(small, dtype=np.int64).reshape(-1, 3) * _SHADES // 256
    colours = pixels @ np.array([_SHADES**2, _SHADES, 1])
    histogram = np.sqrt(np.bincount(colours, minlength=_SHADES**3) / len(colours))
    return np.concatenate([layout, histogram / 2])


@cache
def _vectors() -> Vector:
    images = (Image.open(io.BytesIO(jpeg(picture.name))) for picture in PICTURES)
    return np.stack([describe(image.convert("RGB")) for image in images])
