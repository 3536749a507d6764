"""A run's log as Redis has it, and a run of another replica that is followed by reading it.

An entry is an event; its id is `<number of its event>-0`. That of the end, which says how the run
ended, is `4611686018427387904-<number>`, so that nothing can be written after it. A log begins
with `0-1`, which has no event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.errors import Internal, OwnerLost, ServiceError, leaves
from app.models import Event
from app.results import Problem
from app.runs.run import Reader, Run
from app.store.redis_client import COMMAND_S, RedisClient

PAGE = 500  # Entries that are read at once.
END = 4_611_686_018_427_387_904
Conclude = Callable[..., tuple[list[Event], int]]  # `app.search.conclude_lost`.
KINDS = {kind.code: kind for kind in leaves()}


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    event: Event  # Without a type where a run ended without one.
    is_last: bool = False
    error: ServiceError | None = None  # With which the run ended, if it is the last.

    @classmethod
    def of(cls, entry_id: bytes, fields: dict[bytes, bytes]) -> "Entry":
        """Read an entry that Redis returned: an event's type and data, and the error at its end."""
        number, last_number = map(int, entry_id.split(b"-"))
        (name, data), *rest = fields.items()
        event = Event(name.decode(), data)
        if number != END:
            return cls(number, event)
        _, problem = rest[0]
        return cls(last_number, event, is_last=True, error=_error(problem) if problem else None)


async def read_log(redis: RedisClient, run_id: str) -> list[Entry]:
    """The entries of a log; raises `RedisDown`."""
    log, after, key = list[Entry](), "0-1", f"isp:log:{run_id}"
    while page := await redis.call("XRANGE", key, f"({after}", "+", "COUNT", PAGE):
        log += (Entry.of(*entry) for entry in page)
        after = page[-1][0].decode()
    return log


@dataclass(eq=False, kw_only=True)
class FollowedRun(Run):
    """Another replica's run: its log is taken in, and its owner is told how many read it here."""

    redis: RedisClient
    conclude: Conclude
    replica: str  # Its owner.
    n_quiet: int = 0  # Renewals since anything was heard, up to where Redis is asked.
    n_idle: int = 0  # Renewals since anybody has read it.

    source = "redis"

    def read(self, *, resumable: bool, background: bool = False) -> Reader:
        reader = super().read(resumable=resumable, background=background)
        self.announce()
        return reader

    def leave(self) -> None:
        super().leave()
        self.announce()

    async def cancel(self) -> bool:
        """Have the owner stop it; whether it does."""
        if not self.ended:
            self.redis.send(self.replica, {"what": "cancel", "run": self.id})
            await self.finished(COMMAND_S)
        return self.ended

    def announce(self) -> None:
        """Tell the owner how many read it here: the state, so that twice does no harm."""
        if not self.ended:
            names = ("readers", "left_in_background", "joined", "resumable", "background")
            state = {name: getattr(self, name) for name in names}
            self.redis.send(self.replica, {"what": "readers", "run": self.id, **state})

    def take_in(self, entries: Sequence[Entry]) -> None:
        """Take in entries; events that are here already are skipped."""
        if self.ended:
            return
        try:
            last, n_known = entries[-1], len(self.log.events)
            new = [one.event for one in entries if one.number > n_known and not one.is_last]
            if new:
                self._append(new)
                self.was_admitted = True
            if last.is_last:
                self.error = last.error
                self._close([last.event] if last.event.type else [])
            elif last.number > len(self.log.events):
                raise OwnerLost  # A hole; was never seen. No reader may wait for ever.
        except ServiceError as exc:
            self.fail(exc)

    def fail(self, error: ServiceError) -> None:
        """End it, here alone, with this error."""
        if not self.ended:
            self.error = error
            self._close(self.conclude(self.id, self.log.events, error, listed=self.listed)[0])


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
