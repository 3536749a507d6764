"""Counts a JSON text while it arrives, so that too much of it is refused before it is parsed.

A parser makes objects of 100 bytes and more out of each member, so 56 MB of `[],` would take
gigabytes and hold the event loop for seconds.
"""

import re

from app.errors import ImageTooLarge, InvalidRequest, MalformedBody

TEXT_MAX_BYTES = 1_048_576
"""All text beside `data:` URLs. Escapes count wherever they stand: they are slow to parse."""
MEMBERS_MAX = 10_000
QUOTES_A_MEMBER = 4  # It has at most two strings.
DEPTH_MAX = 64

DATA_URL = re.compile(rb"\s*data:", re.IGNORECASE)
START_BYTES = 32
"""How much of a string's start is looked at to tell whether it is a `data:` URL."""


class JsonBounds:
    """Feed it each chunk of a JSON text. It counts, and does not check that the text is JSON."""

    def __init__(self, max_members: int = MEMBERS_MAX) -> None:
        self._max_members = max_members
        self.pairs = 0
        """Names with their values, in all objects."""
        self._text_bytes = self._members = self._depth = self._quotes = 0
        self._string_start: bytes | None = None
        """How the string that is open begins; `None` outside of strings."""
        self._cut_escape = b""

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes; raise `ImageTooLarge` or `InvalidRequest` if they are too many."""
        text = self._cut_escape + chunk
        if b"\\" in text:
            self._text_bytes += chunk.count(b"\\")
            text = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
        self._cut_escape = b"\\" if text.endswith(b"\\") else b""
        pieces = text.removesuffix(b"\\").split(b'"')
        self._quotes += len(pieces) - 1
        _check(self._quotes, QUOTES_A_MEMBER * self._max_members, "quotes")
        inside = self._string_start is not None
        strings = pieces[not inside :: 2]
        self._count_structure(b"".join(pieces[inside::2]))
        if self._string_start is not None:
            strings[0] = self._string_start + strings[0]
            if not DATA_URL.match(strings[0]):
                self._text_bytes -= len(self._string_start)
        self._text_bytes += sum(len(string) for string in strings if not DATA_URL.match(string))
        if self._text_bytes > TEXT_MAX_BYTES:
            raise ImageTooLarge(
                f"A body may have {TEXT_MAX_BYTES} bytes of text beside its images."
            )
        ends_inside = inside == (len(pieces) % 2 == 1)
        self._string_start = strings[-1][:START_BYTES] if ends_inside else None

    def _count_structure(self, text: bytes) -> None:
        self._text_bytes += len(text)
        self.pairs += text.count(b":")
        self._members += text.count(b",") + text.count(b"[") + text.count(b"{")
        _check(self._members, self._max_members, "members")
        for bracket in re.findall(rb"[\[\]{}]", text):
            self._depth += 1 if bracket in b"[{" else -1
            _check(self._depth, DEPTH_MAX, "levels")
            if self._depth < 0:
                raise MalformedBody("The body is not valid JSON.")


def _check(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise InvalidRequest(f"A JSON body may have {limit} {what}.")
