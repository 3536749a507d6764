"""Pieces of a body as one file for decoders, without copying the body."""

import io
from collections.abc import Sequence
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
        self._n_bytes = sum(len(part) for part in parts)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._n_bytes}[whence]
        if origin + offset < 0:
            raise ValueError("before the start of the file")
        self._at = origin + offset
        return self._at

    def readinto(self, into: "WriteableBuffer") -> int:
        target = memoryview(into).cast("B")
        at = self._at
        for part in self._parts:
            if at < len(part):
                piece = part[at : at + len(target)]
                target[: len(piece)] = piece
                self._at += len(piece)
                return len(piece)
            at -= len(part)
        return 0
