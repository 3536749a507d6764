"""The entries of a run's log in Redis: an event each, and how the run ended in the last.

An entry's id is `<number of its event>-0`, that of the end `4611686018427387904-<number>`, so that
nothing can be written behind it. A log begins with `0-1`, which has no event.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from app.errors import Internal, ServiceError, UpstreamReport, leaves
from app.models import Event, json_bytes
from app.store import Link

PAGE = 500  # Entries that are read at once.
END = 4_611_686_018_427_387_904
NOTHING = Event("", b"")  # The last event of a run that ends without one.
KINDS = {kind.code: kind for kind in leaves()}
MEMBERS = ("detail", "retry_after_s", "retryable", "billed")  # Beside code and report.


class Replay(Protocol):
    """What a log says to a replica that has not done the work: see `app.replay.Replay`."""

    def end(
        self, run_id: str, events: Sequence[Event], error: ServiceError, *, listed: bool
    ) -> list[Event]: ...
    def cost(self, events: Sequence[Event], estimate: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read."""

    number: int
    event: Event
    is_last: bool = False
    error: ServiceError | None = None  # With which the run ended, if it is the last.

    @classmethod
    def of(cls, entry_id: bytes, fields: dict[bytes, bytes]) -> "Entry":
        """Read an entry that Redis returned: an event's type and data, and an error behind it."""
        number, behind = map(int, entry_id.split(b"-"))
        (name, data), *rest = fields.items()
        event = Event(name.decode(), data)
        if number != END:
            return cls(number, event)
        members = json.loads(rest[0][1])
        error = _error(**members) if members else None
        return cls(behind, event, is_last=True, error=error)

    @property
    def events(self) -> list[Event]:
        """Its event, or none where a run ended without one."""
        return [self.event] if self.event.type else []


def numbered(events: Sequence[Event], before: int) -> list[tuple[int, str, bytes]]:
    """Events behind number `before`, as the scripts write them."""
    return [(number, *event) for number, event in enumerate(events, before + 1)]


def ending(
    events: Sequence[Event], last: Sequence[Event], before: int, error: ServiceError | None
) -> list[Any]:
    """How a run ends, and what comes behind number `before`, as `end.lua` writes them."""
    members: dict[str, Any] | None = None
    if error:
        members = {name: getattr(error, name) for name in ("code", *MEMBERS)}
        members["upstream"] = asdict(error.upstream) if error.upstream else None
    parts = (part for entry in numbered([*events, *(last or [NOTHING])], before) for part in entry)
    return [json_bytes(members), *parts]


def _error(code: str, upstream: dict[str, Any] | None, **members: Any) -> ServiceError:
    error = KINDS.get(code, Internal)(members["detail"])
    error.upstream = UpstreamReport(**upstream) if upstream else None
    for name, value in members.items():
        setattr(error, name, value)
    return error


async def read_log(link: Link, run_id: str) -> list[Entry]:
    """The entries of a log; raises `Away`."""
    log, after, count = list[Entry](), "0-1", PAGE
    while count == PAGE:
        page = await link.call("XRANGE", f"isp:log:{run_id}", f"({after}", "+", "COUNT", PAGE)
        count = len(page)
        log += (Entry.of(*entry) for entry in page)
        after = page[-1][0].decode() if page else after
    return log


async def last_entry(link: Link, run_id: str) -> Entry | None:
    """The last entry of a log, where Redis has it; raises `Away`."""
    found = await link.call("XREVRANGE", f"isp:log:{run_id}", "+", "-", "COUNT", 1)
    return Entry.of(*found[0]) if found else None
