"""Pieces of a body read as one file."""

import io

import pytest

from app.images.reading import open_pieces

PIECES = [b"abc", b"", b"defgh", b"i"]
WHOLE = b"".join(PIECES)


def test_the_pieces_read_as_one() -> None:
    file = open_pieces([memoryview(piece) for piece in PIECES])
    assert file.read() == WHOLE
    assert file.read() == b""


def test_it_seeks_as_a_file_does() -> None:
    file = open_pieces([memoryview(piece) for piece in PIECES])
    for at in range(len(WHOLE) + 3):
        assert file.seek(at) == at
        assert file.read(4) == WHOLE[at : at + 4]
    assert file.seek(-2, io.SEEK_END) == len(WHOLE) - 2
    assert file.read() == WHOLE[-2:]
    with pytest.raises(ValueError, match="before the start"):
        file.seek(-99, io.SEEK_END)


@pytest.mark.timeout(20)
def test_a_file_of_many_pieces_is_read_at_a_stretch() -> None:
    """Where each read looks at every piece, this takes minutes, and a worker with it."""
    pieces = [bytes([number % 256]) * 70 for number in range(60_000)]
    file = open_pieces([memoryview(piece) for piece in pieces])
    for number in range(0, len(pieces), 3):
        file.seek(70 * number)
        assert file.read(70) == pieces[number]
    file.seek(0)
    assert file.read() == b"".join(pieces)
