"""The entries of a run's log in Redis: several events each, and how the run ended in the last.

An entry's id is `<number of its last event>-0`, that of the end `<number>-2`. A log begins with
`0-1`, which has no event.
"""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from app.errors import ServiceError, UpstreamReport, leaves
from app.models import Event, json_bytes
from app.results import SearchResult
from app.store import Link

EVENTS_MAX, BYTES_MAX = 64, 131_072  # Of an entry, about.
PAGE = 100  # Entries that are read at once, or runs that are asked for.
SEPARATOR, ESCAPED = b"\x1e", rb"\u001e"  # No event's type and no JSON text has it unescaped.
KINDS = {kind.code: kind for kind in leaves()}
MEMBERS = ("detail", "retry_after_s", "retryable", "billed")  # Beside code and report.
END = 2


class Replay(Protocol):
    """What a log says to a replica that has not done the work: see `app.replay.Replay`."""

    def result(self, run_id: str, events: Sequence[Event]) -> SearchResult: ...
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
    lost: bool = False  # Whether another than the run's owner wrote it.

    @classmethod
    def of(cls, entry_id: bytes, fields: Sequence[bytes]) -> "Entry":
        """Read an entry that Redis returned."""
        number, kind = map(int, entry_id.split(b"-"))
        parts = fields[1].split(SEPARATOR) if fields[1] else []
        pairs = zip(parts[::2], parts[1::2], strict=True)
        events = [Event(name.decode(), data) for name, data in pairs]
        if kind != END:
            return cls(number, events)
        ended = json.loads(fields[3])
        error = _error(**ended["error"]) if ended["error"] else None
        return cls(number, events, is_last=True, error=error, lost=ended["lost"])


def last_fields(
    events: Sequence[Event], error: ServiceError | None, *, lost: bool = False
) -> tuple[bytes, bytes]:
    """The fields of the last entry."""
    members: dict[str, Any] | None = None
    if error:
        members = {name: getattr(error, name) for name in ("code", *MEMBERS)}
        members["upstream"] = asdict(error.upstream) if error.upstream else None
    return pack(events), json_bytes({"error": members, "lost": lost})


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


async def ask_for(
    link: Link, run_ids: Sequence[str]
) -> AsyncGenerator[tuple[str, bytes | None, Entry | None], None]:
    """Each run with its status and its log's last entry, where Redis has them; raises `Away`."""
    for start in range(0, len(run_ids), PAGE):
        some = run_ids[start : start + PAGE]
        replies = await link.pipeline(
            *(("HGET", f"isp:run:{run_id}", "status") for run_id in some),
            *(("XREVRANGE", f"isp:log:{run_id}", "+", "-", "COUNT", 1) for run_id in some),
        )
        for run_id, status, top in zip(some, replies, replies[len(some) :], strict=False):
            yield run_id, status, Entry.of(*top[0]) if top else None
