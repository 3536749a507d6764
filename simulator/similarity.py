"""How alike two pictures are: colours, where they lie, and how edges run.

Each picture becomes one vector; the distance of two pictures is that of their vectors. All parts
are taken from a small copy, so that scale and compression hardly count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

_SMALL: Final = (64, 48)
_GRID: Final = (8, 6)
_BINS: Final = 4
_DIRECTIONS: Final = 8
# Chosen so that each part adds about as much to the distance of two unlike pictures.
_LAYOUT_WEIGHT: Final = 1.0
_HISTOGRAM_WEIGHT: Final = 2.0
_EDGES_WEIGHT: Final = 1.5


def describe(picture: Image.Image) -> Vector:
    """The vector of an RGB picture of any size."""
    small = picture.resize(_SMALL, Image.Resampling.BOX)
    return np.concatenate(
        [
            _LAYOUT_WEIGHT * _layout(small),
            _HISTOGRAM_WEIGHT * _histogram(small),
            _EDGES_WEIGHT * _edges(small),
        ]
    )


def rank(wanted: Vector, shelf: NDArray[np.float32]) -> list[int]:
    """Row numbers of `shelf`, nearest first."""
    distances = np.linalg.norm(shelf - wanted, axis=1)
    return [int(row) for row in np.argsort(distances, kind="stable")]


def _layout(small: Image.Image) -> Vector:
    tiny = small.convert("YCbCr").resize(_GRID, Image.Resampling.BOX)
    values = np.asarray(tiny, dtype=np.float32) / 255.0
    cells = np.float32(np.sqrt(_GRID[0] * _GRID[1]))
    layout: Vector = (values.reshape(-1) / cells).astype(np.float32)
    return layout


def _histogram(small: Image.Image) -> Vector:
    pixels = np.asarray(small, dtype=np.int64).reshape(-1, 3) * _BINS // 256
    numbers = pixels @ np.array([_BINS * _BINS, _BINS, 1])
    counts = np.bincount(numbers, minlength=_BINS**3).astype(np.float32)
    shares: Vector = np.sqrt(counts / counts.sum()) / np.float32(_BINS)
    return shares


def _edges(small: Image.Image) -> Vector:
    grey = np.asarray(small.convert("L"), dtype=np.float32) / 255.0
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    turn = np.mod(np.arctan2(down, right), np.pi) / np.pi
    direction = np.minimum((turn * _DIRECTIONS).astype(np.int64), _DIRECTIONS - 1)
    cell = (np.indices(grey.shape)[0] // 16) * 4 + np.indices(grey.shape)[1] // 16
    counts = np.bincount(
        (cell * _DIRECTIONS + direction).reshape(-1),
        weights=strength.reshape(-1),
        minlength=12 * _DIRECTIONS,
    )
    return (counts / 64.0).astype(np.float32)
