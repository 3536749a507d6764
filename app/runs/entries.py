"""The entries of a run's log in Redis: an event each, and how the run ended in the last.

An entry's id is `<number of its event>-0`, that of the end `4611686018427387904-<number>`, so that
nothing can be written behind it. A log begins with `0-1`, which has no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import Internal, ServiceError, leaves
from app.models import Event
from app.results import Problem
from app.store.link import Link

PAGE = 500  # Entries that are read at once.
END = 4_611_686_018_427_387_904
KINDS = {kind.code: kind for kind in leaves()}


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
    event: Event  # Without a type where a run ended without one.
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
        _, problem = rest[0]
        return cls(behind, event, is_last=True, error=_error(problem) if problem else None)


def ending(
    events: Sequence[Event], last: Sequence[Event], before: int, error: ServiceError | None
) -> list[Any]:
    """How a run ends, and what comes behind number `before`, as `end.lua` writes them."""
    parts: list[Any] = [Problem.of(error, request_id="").json_bytes() if error else b""]
    for number, event in enumerate([*events, *(last or [Event("", b"")])], before + 1):
        parts += (number, *event)
    return parts


def _error(text: bytes) -> ServiceError:
    problem = Problem.model_validate_json(text)
    error = KINDS.get(problem.code, Internal)(
        problem.detail,
        retry_after_s=problem.retry_after,
        upstream=problem.upstream,
        billed=problem.billed,
    )
    error.retryable = problem.retryable
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
