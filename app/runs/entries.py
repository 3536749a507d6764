"""The entries of a run's log in Redis: several events each, and how the run ended in the last.

An entry's id is `<number of its last event>-0`, that of the end `<number>-2`. A log begins with
`0-1`, which is no event.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from app.errors import ServiceError, UpstreamReport, leaves
from app.models import Event, json_bytes
from app.results import SearchResult

EVENTS_MAX, BYTES_MAX = 64, 131_072
"""Most events and bytes of an entry, about."""

SEPARATOR = b"\x1e"
"""Stands in no event's type and in no JSON text; what is not JSON has it escaped."""

KINDS = {kind.code: kind for kind in leaves()}
END = 2


class Replay(Protocol):
    """What a log says to a replica that has not done the work: `app.replay` knows how."""

    def result(self, run_id: str, events: Sequence[Event]) -> SearchResult:
        """What has come so far, or the final state."""

    def end(
        self, run_id: str, events: Sequence[Event], error: ServiceError, *, listed: bool
    ) -> list[Event]:
        """The last events of a run that this replica has to end as failed."""

    def cost(self, events: Sequence[Event], estimate: str) -> int:
        """What a run has cost that was lost; in units of 1e-9 CNY."""


@dataclass(frozen=True, slots=True)
class End:
    """The last events of a run, and how it ended: `lost` if another than its owner wrote it."""

    events: list[Event]
    error: ServiceError | None = None
    lost: bool = False

    def fields(self) -> tuple[bytes, bytes]:
        """The fields of its entry."""
        error = self.error
        said = error and {
            "code": error.code,
            "detail": error.detail,
            "retry_after_s": error.retry_after_s,
            "retryable": error.retryable,
            "billed": error.billed,
            "upstream": asdict(error.upstream) if error.upstream else None,
        }
        return pack(self.events), json_bytes({"error": said, "lost": self.lost})


def pack(events: Sequence[Event]) -> bytes:
    """The events as one field."""
    parts = [part for event in events for part in (event.type.encode(), event.data)]
    text = SEPARATOR.join(parts)
    if text.count(SEPARATOR) >= len(parts) > 0:
        text = SEPARATOR.join(part.replace(SEPARATOR, rb"\u001e") for part in parts)
    return text


def entries(events: Sequence[Event], before: int) -> Iterator[tuple[int, bytes]]:
    """Cut events behind number `before` into entries: the last event's number, and the events."""
    begin = size_bytes = 0
    for end, event in enumerate(events, 1):
        size_bytes += len(event.data)
        if end == len(events) or end - begin == EVENTS_MAX or size_bytes > BYTES_MAX:
            yield before + end, pack(events[begin:end])
            begin, size_bytes = end, 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read."""

    number: int
    """That of its last event."""
    events: list[Event]
    end: End | None

    @classmethod
    def of(cls, entry_id: bytes, fields: Sequence[bytes]) -> "Entry":
        """Read an entry that Redis returned."""
        number, kind = map(int, entry_id.split(b"-"))
        parts = fields[1].split(SEPARATOR) if fields[1] else []
        pairs = zip(parts[::2], parts[1::2], strict=True)
        events = [Event(name.decode(), data) for name, data in pairs]
        return cls(number, events, _end(events, fields[3]) if kind == END else None)


def _end(events: list[Event], text: bytes) -> End:
    said: dict[str, Any] = json.loads(text)
    if said["error"] is None:
        return End(events)
    known = said["error"]
    report = known["upstream"] and UpstreamReport(**known["upstream"])
    error = KINDS[known["code"]](
        known["detail"],
        retry_after_s=known["retry_after_s"],
        upstream=report,
        billed=known["billed"],
    )
    error.retryable = known["retryable"]
    return End(events, error, said["lost"])
