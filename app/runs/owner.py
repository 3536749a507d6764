"""The runs of this replica, copied to Redis: every window, and at once where a reader waits for it.

The log in memory is the truth for the readers here, who never wait for Redis but at the end: one
second at most. Whatever may have been lost is asked for and written again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.errors import Overloaded, OwnerLost
from app.models import SYNTHETIC_PREFIX, Event
from app.runs.entries import End, Entry, Replay, entries
from app.runs.log import EventLog
from app.runs.run import Run
from app.settings import Settings
from app.store import COMMAND_S, Away, Claim, Link

WINDOW_S = 0.1
CALL_BYTES = 1_048_576
"""Most bytes of events in one call, about."""
CHECKED_AT_ONCE = 100
AGAIN_S, FULL_S = 0.2, 1.0
"""Pause after a failed call, and when Redis takes no writes."""
DAY_S = 86_400
ENDED_S = 60
"""How long an end is remembered: a failover may forget it although it was acknowledged."""
UNDO_TTL_MS = SHORT_TTL_MS = 10_000
LOST = "The replica that ran this search is gone."
NO_WRITES = (b"OOM", b"READONLY")


@dataclass(eq=False, slots=True)
class Copy:
    """How far the log of one run is in Redis. `in_doubt`: it has to be asked first."""

    run_id: str
    claim: Claim
    log: EventLog
    run: Run | None = None
    sent: int = 0
    """Number of the last event there."""
    in_doubt: bool = False
    lapses: int = 0
    last: list[Event] | None = None
    """The last events, as soon as they are known."""

    @property
    def n_events(self) -> int:
        """How many events there are before the last ones."""
        return len(self.log.events) - (len(self.last) if self.last and self.log.closed else 0)


class CopiedLog(EventLog):
    """A log that has whatever is appended written to Redis."""

    def __init__(self, mark: Callable[[str, bool], None], run_id: str) -> None:
        super().__init__()
        self._mark = partial(mark, run_id)

    def append(self, events: Sequence[Event], size_bytes: int, *, close: bool = False) -> None:
        """Add events and wake readers; those that this service makes are written at once."""
        super().append(events, size_bytes, close=close)
        if not close:
            self._mark(any(event.type.startswith(SYNTHETIC_PREFIX) for event in events))


class Outbox:
    """Claims, writes and ends the runs of this replica in Redis."""

    def __init__(self, settings: Settings, link: Link, replay: Replay) -> None:
        self._settings, self._link, self._replay = settings, link, replay
        upstream_s = settings.upstream_total_timeout_s or DAY_S
        self._longest_s = upstream_s + settings.upstream_retry_total_s + settings.capacity_wait_s
        self._copies: dict[str, Copy] = {}
        self._marked: dict[str, None] = {}
        self._ended: dict[str, Copy] = {}
        self._unanswered: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake, self._lock = asyncio.Event(), asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()
        self._timer: asyncio.TimerHandle | None = None
        link.on_return.append(self._check_all)

    async def claim(
        self, run_id: str, claim: Claim, *, fresh: bool, may_begin: bool, skip: str
    ) -> tuple[str, str]:
        """Join or claim; see `open.lua`. Raises `Away`: then the claim is undone when it can be."""
        if not self._link.up:
            raise Away
        try:
            how = (int(fresh), int(may_begin), skip)
            verdict, *found = await self._open(run_id, claim, how)
        except Away:
            self._unanswered.add(run_id)
            self._wake.set()
            raise
        return verdict.decode(), found[0].decode() if found else ""

    def begin(self, run_id: str, claim: Claim, *, claimed: bool) -> Copy:
        """Copy a run from now on; one that is not `claimed` when Redis is back."""
        log = CopiedLog(self._mark, run_id)
        copy = Copy(run_id, claim, log, in_doubt=not claimed, lapses=self._link.lapses)
        self._copies[run_id] = copy
        self._empty.clear()
        self._link.claims[run_id] = claim
        return copy

    async def commit(self, copy: Copy, last: list[Event]) -> None:
        """Write the end; return when Redis has it, or after a second, or if it is away."""
        ending = self._spawn(self._end(copy, last))
        await asyncio.wait({ending}, timeout=COMMAND_S if self._link.up else 0)

    async def emptied(self) -> None:
        """Wait until all runs here have ended in Redis too."""
        await self._empty.wait()

    async def write(self) -> None:
        """Wait for the next window, and write what has come."""
        await self._wake.wait()
        self._wake.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._link.up:
            return  # All is checked when it is back.
        async with self._lock:
            marked, self._marked = self._marked, {}
            known = [self._copies[run_id] for run_id in marked if run_id in self._copies]
            copies = [copy for copy in known if copy.last is None]
            try:
                await self._check([copy for copy in copies if copy.in_doubt])
                await self._write(copies)
            except Away:
                asyncio.get_running_loop().call_later(AGAIN_S, self._doubt_all)

    def _mark(self, run_id: str, at_once: bool = True) -> None:  # noqa: FBT001, FBT002 - called per event
        self._marked[run_id] = None
        if at_once:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._wake.set)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _check_all(self) -> None:
        """Redis is back, or has lost data, or our lease had ended: nothing is certain."""
        self._doubt_all()
        ended, self._ended = self._ended, {}
        for copy in ended.values():
            self._copies[copy.run_id], copy.in_doubt = copy, True
            self._spawn(self._end(copy, copy.last or []))

    def _doubt_all(self) -> None:
        self._wake.set()
        for copy in self._copies.values():
            copy.in_doubt = True
            self._mark(copy.run_id)

    async def _undo(self) -> None:
        """End what was claimed for requests that were refused, or that went on without it."""
        error = Overloaded("Replicas could not share this search.", retry_after_s=1)
        for run_id in list(self._unanswered):
            end = (0, *End([], error).fields())
            await self._script_end(run_id, "failed", 0, UNDO_TTL_MS, 0, 0, *end)
            self._unanswered.discard(run_id)

    async def _open(self, run_id: str, claim: Claim, how: tuple[int, int, str] | None) -> Any:
        """Claim it, or without `how` write it again."""
        wanted = (claim.client, claim.fingerprint, claim.key, *(how or (0, 1, "")))
        ttl_ms = int((self._longest_s + self._settings.search_retention_s) * 1_000)
        restored = (int(how is None), claim.reserved, claim.estimate)
        return await self._link.before_deadline(
            *("open", self._link.replica, run_id, *wanted, int(claim.listed), ttl_ms, *restored)
        )

    async def _write(self, copies: Iterable[Copy]) -> None:
        # What comes meanwhile waits for the next window: else windows become round trips.
        until = {copy.run_id: (copy, copy.n_events) for copy in copies}
        while todo := [
            one for one in until.values() if one[0].sent < one[1] and not one[0].in_doubt
        ]:
            args: list[Any] = []
            sent: dict[str, int] = {}
            size_bytes = 0
            for copy, end in todo:
                for number, packed in entries(copy.log.events[copy.sent : end], copy.sent):
                    if size_bytes > CALL_BYTES:
                        break
                    args += (copy.run_id, number, packed)
                    sent[copy.run_id] = number
                    size_bytes += len(packed)
            refused = await self._link.script("append", *args)
            for run_id, number in sent.items():
                until[run_id][0].sent = number
            for run_id, why in zip(refused[::2], refused[1::2], strict=True):
                copy = until[run_id.decode()][0]
                copy.in_doubt = True  # It proves nothing: our own call may have been executed.
                wait_s = FULL_S if why.startswith(NO_WRITES) else 0
                asyncio.get_running_loop().call_later(wait_s, self._mark, copy.run_id)

    async def _check(self, copies: list[Copy]) -> None:
        """Ask how far each log is in Redis; go on from there, write it again, or give it up."""
        await self._undo()  # Else it would take away what a run that is written again is found by.
        for start in range(0, len(copies), CHECKED_AT_ONCE):
            some = copies[start : start + CHECKED_AT_ONCE]
            commands = [command for copy in some for command in ask_for(copy.run_id)]
            replies = await self._link.pipeline(*commands)
            for copy, status, top in zip(some, replies[::2], replies[1::2], strict=True):
                await self._go_on(copy, status, Entry.of(*top[0]) if top else None)

    async def _go_on(self, copy: Copy, status: bytes | None, top: Entry | None) -> None:
        forgotten = status is None and copy.lapses != self._link.lapses and copy.sent
        if forgotten or status not in (None, b"running"):
            end = top and top.end
            if top and end and end.lost:
                self._adopt(copy, top.number - len(end.events), end)
            elif copy.last is None:
                error = OwnerLost(LOST)
                events = copy.log.events[: copy.sent]
                last = self._replay.end(copy.run_id, events, error, listed=copy.claim.listed)
                self._adopt(copy, copy.sent, End(last, error))
            self._settled(copy)  # Else our own end stands.
            return
        if status is None or not top:
            copy.lapses = self._link.lapses
            await self._open(copy.run_id, copy.claim, None)
        copy.sent = top.number if top else 0
        copy.in_doubt = False

    def _adopt(self, copy: Copy, seen: int, end: End) -> None:
        """Take the end that a judge wrote behind event `seen`: one truth, here as elsewhere."""
        if copy.run:
            copy.run.adopt(seen, end.events, end.error or OwnerLost(LOST))

    def _settled(self, copy: Copy) -> None:
        self._copies.pop(copy.run_id, None)
        self._link.claims.pop(copy.run_id, None)
        if not self._copies:
            self._empty.set()

    async def _end(self, copy: Copy, last: list[Event]) -> None:
        async with self._lock:  # Behind the window that is being written.
            copy.last = last
        while copy.run_id in self._copies:
            try:
                await self._try_to_end(copy, last)
            except Away:
                copy.in_doubt = True
                await asyncio.sleep(AGAIN_S)

    async def _try_to_end(self, copy: Copy, last: list[Event]) -> None:
        if not self._link.up:
            raise Away
        if copy.in_doubt:
            await self._check([copy])
            return
        rest = list(entries(copy.log.events[copy.sent : copy.n_events], copy.sent))
        if sum(len(packed) for _, packed in rest) > CALL_BYTES:
            await self._write([copy])
            return
        run, claim = copy.run, copy.claim
        good = run is not None and run.reusable
        kept = claim.kept and run is not None and run.was_admitted
        ttl_ms = int(self._settings.search_retention_s * 1_000) if kept else 0
        fp_ttl_ms = min(ttl_ms, int(self._settings.cache_ttl_s * 1_000))
        end = (copy.n_events + len(last), *End(last, run.error if run else None).fields())
        status = "completed" if good and kept else "failed"
        verdict = await self._script_end(
            *(copy.run_id, status, claim.cost),
            *(max(ttl_ms, SHORT_TTL_MS), fp_ttl_ms, copy.sent, *end),
            *(part for entry in rest for part in entry),
        )
        if verdict[0] == b"done":
            self._settled(copy)
            self._ended[copy.run_id] = copy
            asyncio.get_running_loop().call_later(ENDED_S, self._ended.pop, copy.run_id, None)
        else:
            copy.in_doubt = True

    async def _script_end(self, *args: Any) -> Any:
        run_id, status, cost, ttl_ms, fp_ttl_ms, *written = args
        how = (status, cost, ttl_ms, fp_ttl_ms, 0)
        return await self._link.script("end", "owner", self._link.replica, run_id, *how, *written)


def ask_for(run_id: str) -> list[tuple[Any, ...]]:
    """Commands for a run's status, and for the last entry of its log."""
    return [
        ("HGET", f"isp:run:{run_id}", "status"),
        ("XREVRANGE", f"isp:log:{run_id}", "+", "-", "COUNT", 1),
    ]
