"""A small reader of server-sent events: bytes as they come in, whole events out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Event:
    """The name and the data of one event."""

    name: str
    data: str


def read(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Give each event as soon as its blank line is there (WHATWG HTML §9.2).

    The service ends lines with a single line feed, so that is all that is understood here. An
    event without data, and one that the end of the stream cuts off, is dropped.
    """
    name, data = "message", list[str]()
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "message", []


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Not `str.splitlines`: it also cuts at U+2028, which JSON text may hold.
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
