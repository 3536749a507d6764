"""The entries of a run's log in Redis: several events each, and how the run ended in the last.

An entry's id is `<number of its last event>-0`, that of the end `4611686018427387904-<number>`, so
that nothing can be written behind it. A log begins with `0-1`, which has no event.
"""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from app.errors import ServiceError, UpstreamReport, leaves
from app.models import Event, json_bytes
from app.store import Link

EVENTS_MAX, BYTES_MAX = 64, 131_072  # Of an entry, about.
PAGE = 100  # Entries that are read at once.
SEPARATOR, ESCAPED = b"\x1e", rb"\u001e"  # No event's type and no JSON text has it unescaped.
KINDS = {kind.code: kind for kind in leaves()}
MEMBERS = ("detail", "retry_after_s", "retryable", "billed")  # Beside code and report.
END = 4_611_686_018_427_387_904


class Replay(Protocol):
    """What a log says to a replica that has not done the work: see `app.replay.Replay`."""

    def end(
        self, run_id: str, events: Sequence[Event], error: ServiceError, *, listed: bool
    ) -> list[Event]: ...
    def cost(self, events: Sequence[Event], estimate: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read."""

    number: int  # That of its last event.
    events: list[Event]
    is_last: bool = False
    error: ServiceError | None = None  # With which the run ended, if it is the last.

    @classmethod
    def of(cls, entry_id: bytes, fields: Sequence[bytes]) -> "Entry":
        """Read an entry that Redis returned."""
        number, behind = map(int, entry_id.split(b"-"))
        parts = fields[1].split(SEPARATOR) if fields[1] else []
        pairs = zip(parts[::2], parts[1::2], strict=True)
        events = [Event(name.decode(), data) for name, data in pairs]
        if number != END:
            return cls(number, events)
        members = json.loads(fields[3])
        error = _error(**members) if members else None
        return cls(behind, events, is_last=True, error=error)


def last_fields(events: Sequence[Event], error: ServiceError | None) -> tuple[bytes, bytes]:
    """The fields of the last entry."""
    members: dict[str, Any] | None = None
    if error:
        members = {name: getattr(error, name) for name in ("code", *MEMBERS)}
        members["upstream"] = asdict(error.upstream) if error.upstream else None
    return pack(events), json_bytes(members)


def _error(code: str, upstream: dict[str, Any] | None, **members: Any) -> ServiceError:
    error = KINDS[code](members["detail"])
    error.upstream = UpstreamReport(**upstream) if upstream else None
    for name, value in members.items():
        setattr(error, name, value)
    return error


def pack(events: Sequence[Event]) -> bytes:
    """The events as one field."""
    parts = (part for event in events for part in (event.type.encode(), event.data))
    return SEPARATOR.join(part.replace(SEPARATOR, ESCAPED) for part in parts)


def entries(events: Sequence[Event], before: int) -> Iterator[tuple[int, bytes]]:
    """Cut events behind number `before` into entries: the last event's number, and the events."""
    begin = size_bytes = 0
    for end, event in enumerate(events, 1):
        size_bytes += len(event.data)
        if end == len(events) or end - begin == EVENTS_MAX or size_bytes > BYTES_MAX:
            yield before + end, pack(events[begin:end])
            begin, size_bytes = end, 0


async def read_log(link: Link, run_id: str) -> AsyncGenerator[Entry, None]:
    """The entries of a log; raises `Away`."""
    after, count = "0-1", PAGE
    while count == PAGE:
        page = await link.call("XRANGE", f"isp:log:{run_id}", f"({after}", "+", "COUNT", PAGE)
        count = len(page)
        for entry_id, fields in page:
            after = entry_id.decode()
            yield Entry.of(entry_id, fields)


async def last_entry(link: Link, run_id: str) -> Entry | None:
    """The last entry of a log, where Redis has it; raises `Away`."""
    found = await link.call("XREVRANGE", f"isp:log:{run_id}", "+", "-", "COUNT", 1)
    return Entry.of(*found[0]) if found else None
