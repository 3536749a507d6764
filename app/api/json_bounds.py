"""A JSON body, parsed within bounds of its text, members and depth.

A parser makes objects of 100 bytes and more of each member, so 56 MB of `[],` would take gigabytes
and hold the event loop for seconds. So what is beside the images is counted before it is parsed,
and the images, as `data:` URLs, are taken out of it and parsed in steps.
"""

import asyncio
import re
import secrets
from codecs import BOM_UTF8
from typing import Any

from pydantic_core import from_json

from app.errors import ImageTooLarge, ImageUnreadable, InvalidRequest, MalformedBody

TEXT_MAX_BYTES = 1_048_576
"""All text beside `data:` URLs. As many escapes, slow to parse, may be in the whole body."""
MEMBERS_MAX = 10_000
QUOTES_A_MEMBER = 4  # It has at most two strings.
DEPTH_MAX = 64

# A quote behind a backslash begins no string.
DATA_URL = re.compile(rb'"(?<!\\")\s*data:[^,"]{0,1024};\s*base64\s*,', re.IGNORECASE)
STEP_BYTES = 1 << 19  # Takes 20 ms at worst, where all of it is escapes.
ESCAPE_MAX_BYTES = len(r"\u0000")
INVALID = "The body is not valid JSON."


async def parse_json(body: bytes, max_members: int = MEMBERS_MAX) -> Any:
    """The value of a JSON text; raises a `CallerError` if it is none, or holds too much."""
    text, urls = await _without_images(body)
    pairs = _check_structure(text, max_members)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as exc:
        raise MalformedBody(INVALID) from exc
    if _pairs(value) != pairs:  # Two readers may take either value.
        raise MalformedBody("A name stands twice in an object of the JSON body.")
    return _with_images(value, urls) if urls else value


async def _without_images(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The text with a mark in place of each image, and the images' `data:` URLs by mark."""
    text, urls = bytearray(), dict[str, str]()
    at = len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0
    while found := DATA_URL.search(body, at, at + TEXT_MAX_BYTES):
        start, end = found.start() + 1, body.find(b'"', found.end())
        if end < 0:
            raise MalformedBody(INVALID)
        check_text(len(text) + start - at)
        mark = secrets.token_hex()
        text += body[at:start] + mark.encode()
        urls[mark] = await _parse_in_steps(body, start, end)
        at = end
    check_text(len(text) + len(body) - at)
    return bytes(text + body[at:]), urls


async def _parse_in_steps(body: bytes, start: int, end: int) -> str:
    """The string between two quotes; between the steps the event loop does other work."""
    pieces = []
    while start < end:
        await asyncio.sleep(0)
        stop = min(start + STEP_BYTES, end)
        if stop < end:  # An escape goes on in the next step.
            escape = body.rfind(b"\\", stop - ESCAPE_MAX_BYTES, stop)
            stop = escape if escape > 0 else stop
        try:
            pieces.append(from_json(b'"%b"' % body[start:stop]))
        except ValueError as exc:
            raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc
        start = stop
    return "".join(pieces)


def _with_images(value: Any, urls: dict[str, str]) -> Any:
    match value:
        case str():
            return urls.get(value, value)
        case list():
            return [_with_images(one, urls) for one in value]
        case dict():
            return {urls.get(n, n): _with_images(one, urls) for n, one in value.items()}
    return value


def check_text(n_bytes: int) -> None:
    """Raise `ImageTooLarge` if there is more text than a body may have."""
    if n_bytes > TEXT_MAX_BYTES:
        raise ImageTooLarge(f"A body may have {TEXT_MAX_BYTES} bytes of text beside its images.")


def _check_structure(text: bytes, max_members: int) -> int:
    """Count members and levels; returns how many names with values there are in all objects."""
    plain = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
    _check(plain.count(b'"'), QUOTES_A_MEMBER * max_members, "quotes")
    structure, depth = b"".join(plain.split(b'"')[::2]), 0
    _check(sum(map(structure.count, (b",", b"[", b"{"))), max_members, "members")
    for bracket in re.finditer(rb"[\[\]{}]", structure):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth < 0:
            raise MalformedBody(INVALID)
        _check(depth, DEPTH_MAX, "levels")
    return structure.count(b":")


def _check(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise InvalidRequest(f"A JSON body may have {limit} {what}.")


def _pairs(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_pairs, value.values()))
    return sum(map(_pairs, value)) if isinstance(value, list) else 0
