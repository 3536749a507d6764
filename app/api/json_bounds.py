"""Counts a JSON text while it arrives, so that too much of it is refused before it is parsed.

A parser makes objects of 100 bytes and more out of each member, so 56 MB of `[],` would take
gigabytes and hold the event loop for seconds. For images alone it would hold it longer than others
should wait, so what comes of a `data:` URL in later chunks is kept apart.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from app.errors import ImageTooLarge, ImageUnreadable, InvalidRequest, MalformedBody

TEXT_MAX_BYTES = 1_048_576
"""All text beside `data:` URLs. Escapes count wherever they stand: they are slow to parse."""
MEMBERS_MAX = 10_000
QUOTES_A_MEMBER = 4  # It has at most two strings.
DEPTH_MAX = 64

DATA_URL = re.compile(rb"\s*data:", re.IGNORECASE)
START_BYTES = 32  # Of a string; they tell whether it is a `data:` URL.
UNFINISHED = re.compile(rb"(\\(u[0-9a-fA-F]{0,3})?|[\xc0-\xff][\x80-\xbf]{0,3})\Z")
"""An escape or a character whose end may come with the next chunk."""
UNFINISHED_MAX_BYTES = 5
PARTS_A_STEP = 32  # About 2 MB.


class JsonBounds:
    """Feed it each chunk of a JSON text. It counts, and does not check that the text is JSON."""

    def __init__(self, max_members: int = MEMBERS_MAX, *, image_max_bytes: int = 0) -> None:
        self._max_members, self._image_max_bytes = max_members, image_max_bytes
        self.n_bytes = 0  # All that was fed.
        self._text_bytes = self._members = self._depth = self._quotes = 0
        self._string_start: bytes | None = None  # How the string that is open begins, if one is.
        self._unfinished = b""
        self._apart: list[list[str]] = []  # Later parts of long URLs, for marks in the text.
        self._apart_chars, self._is_apart = 0, False
        self._mark = secrets.token_hex()

    def feed(self, chunk: bytes) -> bytes:
        """Count a chunk, and return the text to parse; `CallerError` if there is too much of it."""
        self.n_bytes += len(chunk)
        text = plain = self._unfinished + chunk
        if b"\\" in text:
            plain = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
        unfinished = UNFINISHED.search(plain, max(0, len(plain) - UNFINISHED_MAX_BYTES))
        end = unfinished.start() if unfinished else len(text)
        text, plain, self._unfinished = text[:end], plain[:end], text[end:]
        # Escapes are as slow as text, those of a URL too.
        self._text_bytes += text.count(b"\\") + text.count(b"%")
        pieces = plain.split(b'"')
        if self._is_apart:
            text = self._keep_apart(text, len(pieces[0]))
            self._is_apart = len(pieces) == 1
        self._count(pieces)
        if self._string_start and not self._is_apart and DATA_URL.match(self._string_start):
            text += f"{self._mark}{len(self._apart)}".encode()
            self._apart.append([])
            self._apart_chars, self._is_apart = 0, True
        return text

    def put_back(self, found: Any) -> Iterator[None]:
        """Complete the strings of what was parsed, in steps, since each takes milliseconds."""
        if not self._apart:
            return
        for place, value in found.items() if isinstance(found, dict) else enumerate(found):
            if isinstance(place, str) and self._mark in place:
                raise InvalidRequest("A name in the JSON body is too long.")
            if isinstance(value, dict | list):
                yield from self.put_back(value)
            elif isinstance(value, str) and self._mark in value:
                text, _, number = value.partition(self._mark)
                parts, self._apart[int(number)] = self._apart[int(number)], []
                while parts:
                    text += "".join(parts[:PARTS_A_STEP])  # CPython makes `text` longer in place.
                    del parts[:PARTS_A_STEP]
                    yield
                found[place] = text

    def _keep_apart(self, text: bytes, n_bytes: int) -> bytes:
        self._apart_chars += n_bytes
        if 0 < self._image_max_bytes < (self._apart_chars - 3 * TEXT_MAX_BYTES) * 3 // 4:
            raise ImageTooLarge(f"An image may have {self._image_max_bytes} bytes.")
        try:
            self._apart[-1].append(from_json(b'"%b"' % text[:n_bytes]))
        except ValueError as exc:
            raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc
        return text[n_bytes:]

    def _count(self, pieces: list[bytes]) -> None:
        """Count text that was split at its quotes."""
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
            most = f"{TEXT_MAX_BYTES} bytes of text beside its images"
            raise ImageTooLarge(f"A body may have {most}.")
        ends_inside = inside == (len(pieces) % 2 == 1)
        self._string_start = strings[-1][:START_BYTES] if ends_inside else None

    def _count_structure(self, text: bytes) -> None:
        self._text_bytes += len(text)
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
