"""Counts a JSON text while it arrives, so that too much of it is refused before it is parsed.

A parser makes objects of 100 bytes and more out of each member, so 56 MB of `[],` would take
gigabytes and hold the event loop for seconds. For images alone it would hold it longer than others
should wait, so a `data:` URL that goes on in later chunks is kept apart.
"""

import asyncio
import re
import secrets
from typing import Any

from pydantic_core import from_json

from app.errors import ImageTooLarge, ImageUnreadable, InvalidRequest

TEXT_MAX_BYTES = 1_048_576
"""All text beside `data:` URLs. Escapes count wherever they stand: they are slow to parse."""
MEMBERS_MAX = 10_000
DEPTH_MAX = 64

STRING = re.compile(rb'"[^"]*"')
DATA_URL = re.compile(rb'"\s*data:[^"]*', re.IGNORECASE)
UNFINISHED = re.compile(rb'("[^"]{0,31}|\\(u[0-9a-fA-F]{0,3})?|[\xc0-\xff][\x80-\xbf]{0,3})\Z')
"""A string of which too little has come to tell what it is, half an escape, half a character."""
UNFINISHED_MAX_BYTES = 32


class JsonBounds:
    """Feed it each chunk of a JSON text. It counts, and does not check that the text is JSON."""

    def __init__(self, max_members: int) -> None:
        self._max_members = max_members
        self.n_bytes = self._text_bytes = self._members = self._depth = 0
        self.unfinished = b""  # Comes before the next chunk; at the end it is the text's last part.
        self._inside = b""  # Comes before a chunk that goes on with a string, but for a URL.
        self._apart: dict[str, list[str]] = {}  # Long URLs in parts, by the marks in their places.
        self._open: list[str] | None = None  # Parts of the URL that goes on in the next chunk.

    def feed(self, chunk: bytes) -> bytes:
        """Count a chunk, and return the text to parse; `CallerError` if there is too much of it."""
        self.n_bytes += len(chunk)
        text = plain = self.unfinished + chunk
        if b"\\" in text:
            plain = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
        unfinished = UNFINISHED.search(plain, max(0, len(plain) - UNFINISHED_MAX_BYTES))
        end = unfinished.start() if unfinished else len(text)
        text, plain, self.unfinished = text[:end], plain[:end], text[end:]
        # Escapes are as slow as text, those of a URL too.
        self._text_bytes += text.count(b"\\") + text.count(b"%")
        if self._open is not None:
            part, quote, plain = plain.partition(b'"')
            self._open.append(_parse(text[: len(part)]))
            text = text[len(part) :]
            self._open = None if quote else self._open
        plain = self._inside + plain
        self._text_bytes += len(text) - sum(map(len, DATA_URL.findall(plain)))
        structure, quote, start = STRING.sub(b"", plain).partition(b'"')
        self._count(structure)
        self._inside = quote and b'".'
        if DATA_URL.match(quote + start):
            mark = secrets.token_hex()
            self._open = self._apart[mark] = [_parse(text[-len(start) :])]
            text, self._inside = text[: -len(start)] + mark.encode(), b""
        return text

    async def put_back(self, found: Any) -> None:
        """Put what was kept apart into what was parsed, one at a time: each takes milliseconds."""
        if not self._apart:
            return
        for place, value in found.items() if isinstance(found, dict) else enumerate(found):
            if place in self._apart:
                raise InvalidRequest("A name in the JSON body is too long.")
            if isinstance(value, dict | list):
                await self.put_back(value)
            elif isinstance(value, str) and value in self._apart:
                found[place] = "".join(self._apart.pop(value))
                await asyncio.sleep(0)

    def _count(self, structure: bytes) -> None:
        if self._text_bytes > TEXT_MAX_BYTES:
            most = f"{TEXT_MAX_BYTES} bytes of text beside its images"
            raise ImageTooLarge(f"A body may have {most}.")
        self._members += sum(map(structure.count, (b",", b"[", b"{")))
        if self._members > self._max_members:
            raise InvalidRequest(f"A JSON body may have {self._max_members} members.")
        for bracket in re.findall(rb"[\[\]{}]", structure):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > DEPTH_MAX:
                raise InvalidRequest(f"A JSON body may have {DEPTH_MAX} levels.")


def _parse(part: bytes) -> str:
    try:
        return str(from_json(b'"%b"' % part))
    except ValueError as exc:
        raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc
