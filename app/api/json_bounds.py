"""Counts a JSON text while it arrives, so that too much of it is refused before it is parsed.

A parser makes objects of 100 bytes and more out of each member, so 56 MB of `[],` would take
gigabytes and hold the event loop for seconds.
"""

import re

from app.errors import ImageTooLarge, InvalidRequest

TEXT_MAX_BYTES = 1_048_576
"""All of the text beside `data:` URLs. Escapes count wherever they stand: they are slow to parse."""

MEMBERS_MAX = 10_000
DEPTH_MAX = 64

DATA_URL = re.compile(rb"\s*data:", re.IGNORECASE)
START_BYTES = 32
"""How much of a string's start is looked at to tell whether it is a `data:` URL."""

QUOTES_MAX = 4 * MEMBERS_MAX
"""A member has at most two strings."""


class JsonBounds:
    """Feed it each chunk of a JSON text. It counts, and does not check that the text is JSON."""

    def __init__(self) -> None:
        self._text_bytes = self._members = self._depth = self._quotes = 0
        self._string_start: bytes | None = None
        """How the string that is open begins; `None` outside of strings."""
        self._cut_escape = b""

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes.

        Raises:
            ImageTooLarge: There is too much text beside images.
            InvalidRequest: There are too many members, or they are nested too deeply.
        """
        pieces = self._without_escapes(chunk).split(b'"')
        self._quotes += len(pieces) - 1
        if self._quotes > QUOTES_MAX:
            raise _too_many("members", MEMBERS_MAX)
        for number, piece in enumerate(pieces):
            if number:  # A quote stands before it.
                self._string_start = b"" if self._string_start is None else None
            if self._string_start is None:
                self._text_bytes += len(piece)
                self._count_structure(piece)
            else:
                self._string_start += piece[: START_BYTES - len(self._string_start)]
                if not DATA_URL.match(self._string_start):
                    self._text_bytes += len(piece)
        if self._text_bytes > TEXT_MAX_BYTES:
            raise ImageTooLarge(
                f"A body may have {TEXT_MAX_BYTES} bytes of text beside its images."
            )

    def _without_escapes(self, chunk: bytes) -> bytes:
        """Count backslashes, and put other bytes in place of escaped ones and quotes."""
        text = self._cut_escape + chunk
        self._cut_escape = b""
        if b"\\" not in text:
            return text
        self._text_bytes += chunk.count(b"\\")
        text = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
        if text.endswith(b"\\"):
            self._cut_escape = b"\\"
            text = text[:-1]
        return text

    def _count_structure(self, piece: bytes) -> None:
        self._members += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
        if self._members > MEMBERS_MAX:
            raise _too_many("members", MEMBERS_MAX)
        for bracket in re.findall(rb"[\[\]{}]", piece):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > DEPTH_MAX:
                raise _too_many("levels", DEPTH_MAX)


def _too_many(what: str, limit: int) -> InvalidRequest:
    return InvalidRequest(f"A JSON body may have {limit} {what}.")
