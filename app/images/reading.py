"""Pieces of a body as one file for decoders, without copying the body."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def open_pieces(parts: Sequence[memoryview]) -> io.BufferedReader:
    """A file that reads the pieces one after the other."""
    return _Pieced(parts)


class _Pieced(io.BufferedReader):
    def __init__(self, parts: Sequence[memoryview]) -> None:
        super().__init__(_Pieces(parts))
        self._parts = parts

    def getvalue(self) -> memoryview:
        """All of it, as Pillow asks for on behalf of libtiff, which reads the whole in one piece.

        One piece is not copied.
        """
        return self._parts[0] if len(self._parts) == 1 else memoryview(b"".join(self._parts))


class _Pieces(io.RawIOBase):
    def __init__(self, parts: Sequence[memoryview]) -> None:
        super().__init__()
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: sum(self._ends[-1:])}[whence]
        if origin + offset < 0:
            raise ValueError("before the start of the file")
        self._at = origin + offset
        return self._at

    def readinto(self, into: "WriteableBuffer") -> int:
        target = memoryview(into).cast("B")
        # Not from the first part on: a file may be made of thousands, to cost time.
        number, done = bisect_right(self._ends, self._at), 0
        while done < len(target) and number < len(self._parts):
            behind = self._ends[number] - self._at
            part = self._parts[number]
            piece = part[len(part) - behind :][: len(target) - done]
            target[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
            number += 1
        return done
