"""Pieces of a body as one file for decoders, without copying the body."""

import io
from collections.abc import Sequence
from itertools import accumulate

from typing_extensions import Buffer


class Pieces(io.RawIOBase):
    """Reads memory views one after the other. Wrap it in `io.BufferedReader`."""

    def __init__(self, parts: Sequence[memoryview]) -> None:
        super().__init__()
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))
        self._at = 0
