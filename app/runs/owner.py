"""The runs of this replica, copied to Redis: every window, and at once where a reader waits for it.

The log in memory is the truth for the readers here, who never wait for Redis but at the end: one
second at most. Whatever may have been lost is asked for and written again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from app.errors import Overloaded, OwnerLost
from app.models import Event
from app.runs.entries import Entry, Replay, ask_for, entries, last_fields
from app.runs.local import LocalRun, OpenRequest
from app.settings import Settings
from app.store import COMMAND_S, Away, Claim, Link

WINDOW_S = 0.1
FULL_S = 1.0  # Pause where Redis takes no writes.
CALL_BYTES = 1_048_576  # Most of events in one call, about.
DAY_S = 86_400
ENDED_S = 60  # How long an end is remembered: a failover may forget one that was acknowledged.
SHORT_TTL_MS = 10_000
NO_WRITES = (b"OOM", b"READONLY")


@dataclass(eq=False, slots=True)
class Copy:
    """How far the log of a run is in Redis."""

    run: LocalRun
    claim: Claim
    in_doubt: bool  # Redis has to be asked first.
    has_lapsed: bool = False  # Our lease had ended since it was last asked.
    sent: int = 0  # Number of the last event there.
    last: list[Event] | None = None  # The last events, as soon as they are known.
    settled: asyncio.Future[None] = field(default_factory=asyncio.Future)  # When its end is there.

    @property
    def n_events(self) -> int:
        """How many events there are before the last ones."""
        return len(self.run.log.events) - (len(self.last or ()) if self.run.ended else 0)

    def unsent(self) -> Iterator[tuple[int, bytes]]:
        """Entries that are not in Redis yet."""
        return entries(self.run.log.events[self.sent : self.n_events], self.sent)


class Outbox:
    """Claims, writes and ends the runs of this replica in Redis."""

    def __init__(self, settings: Settings, link: Link, replay: Replay) -> None:
        self._settings, self._link, self._replay = settings, link, replay
        upstream_s = settings.upstream_total_timeout_s or DAY_S
        longest_s = upstream_s + settings.upstream_retry_total_s + settings.capacity_wait_s
        self._ttl_ms = int((longest_s + settings.search_retention_s) * 1_000)
        self._copies: dict[str, Copy] = {}  # Of runs whose end is not in Redis yet.
        self._ended: dict[str, Copy] = {}
        self._unanswered: set[str] = set()  # Ids of runs that may have been claimed for nothing.
        self._urgent: set[str] = set()
        self._wake = asyncio.Event()
        self._window_end_s = 0.0

    async def claim(
        self, run_id: str, request: OpenRequest, *, may_begin: bool, skip: str
    ) -> tuple[str, str]:
        """Join or claim; see `open.lua`. Raises `Away`: then the claim is undone when it can be."""
        if not self._link.up:
            raise Away
        try:
            how = (int(request.fresh), int(may_begin), skip)
            verdict, *found = await self._open(run_id, request, *how)
        except Away:
            self._unanswered.add(run_id)
            raise
        return verdict.decode(), found[0].decode() if found else ""

    def add(self, run: LocalRun, *, claimed: bool) -> None:
        """Copy a run from now on; one that is not `claimed` when Redis is back."""
        claim = self._link.claims[run.id] = Claim()
        self._copies[run.id] = Copy(run, claim, in_doubt=not claimed)

    def appended(self, run: LocalRun, events: Sequence[Event]) -> None:
        """Write these with the next window, or at once if this service made one of them."""
        if any(event.is_synthetic for event in events):
            self._write_now(run.id)

    async def end(self, run: LocalRun, last: list[Event]) -> None:
        """Write the end; return when Redis has it, or after a second, or if it is away."""
        copy = self._copies[run.id]
        copy.last = last
        self._write_now(run.id)
        await asyncio.wait({copy.settled}, timeout=COMMAND_S if self._link.up else 0)

    async def emptied(self) -> None:
        """Wait until all runs here have ended in Redis too."""
        for copy in list(self._copies.values()):
            await asyncio.wait({copy.settled})

    def doubt_all(self, *, lapsed: bool) -> None:
        """Nothing is certain: Redis is back, or has lost data, or our lease had ended."""
        self._copies |= self._ended
        self._ended.clear()
        for copy in self._copies.values():
            copy.in_doubt = True
            copy.has_lapsed = copy.has_lapsed or lapsed
        self._window_end_s = 0
        self._wake.set()

    async def write(self) -> None:
        """Wait for the end of the window, or for what is urgent, and write what has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._window_end_s):
                await self._wake.wait()
        self._wake.clear()
        now_s = asyncio.get_running_loop().time()
        run_ids, self._urgent = self._urgent & self._copies.keys(), set()
        if now_s >= self._window_end_s:
            self._window_end_s = now_s + WINDOW_S
            run_ids = set(self._copies)
        if self._link.up:
            await self._write([self._copies[run_id] for run_id in run_ids])

    async def _write(self, copies: list[Copy]) -> None:
        try:
            await self._undo()  # First: a run that is written again would lose what finds it.
            doubtful = {copy.run.id: copy for copy in copies if copy.in_doubt}
            async for run_id, status, top in ask_for(self._link, list(doubtful)):
                with suppress(Away):
                    await self._go_on(doubtful[run_id], status, top)
            known = [copy for copy in copies if copy.run.id in self._copies and not copy.in_doubt]
            await self._append([copy for copy in known if copy.last is None])
            await asyncio.gather(*(self._end(copy) for copy in known if copy.last is not None))
        except Away:
            for copy in copies:
                copy.in_doubt = True
            raise

    def _write_now(self, run_id: str) -> None:
        self._urgent.add(run_id)
        self._wake.set()

    async def _undo(self) -> None:
        """End what was claimed for requests that were refused, or that went on without it."""
        error = Overloaded("Replicas could not share this search.", retry_after_s=1)
        for run_id in list(self._unanswered):
            how = ("failed", 0, SHORT_TTL_MS, 0, 0, 0, 0, *last_fields([], error))
            await self._link.script("end", "owner", self._link.replica, run_id, *how)
            self._unanswered.discard(run_id)

    async def _open(self, run_id: str, request: OpenRequest, *how: Any, restore: int = 0) -> Any:
        wanted = (request.owner.name, request.fingerprint, request.key or "", *how)
        rest = (int(request.listed), self._ttl_ms, restore)
        return await self._link.before_deadline("open", self._link.replica, run_id, *wanted, *rest)

    async def _go_on(self, copy: Copy, status: bytes | None, top: Entry | None) -> None:
        """Go on behind the last entry in Redis, write the log again, or give the run up."""
        run = copy.run
        forgotten = status is None and copy.has_lapsed and copy.sent
        if forgotten or status not in (None, b"running"):
            if top and top.lost:
                # Where another has ended it, its end counts here as everywhere.
                run.adopt(top.number - len(top.events), top.events, top.error or OwnerLost())
            elif copy.last is None:
                error, events = OwnerLost(), run.log.events[: copy.sent]
                last = self._replay.end(run.id, events, error, listed=run.listed)
                run.adopt(copy.sent, last, error)
            self._settled(copy)
            return
        if status is None or not top:
            await self._restore(copy)
        copy.sent = top.number if top else 0
        copy.in_doubt = copy.has_lapsed = False

    async def _restore(self, copy: Copy) -> None:
        """Write again what Redis has lost, with what was reserved."""
        run, claim = copy.run, copy.claim
        await self._open(run.id, run.request, 0, 1, "", restore=1)
        if claim.estimate:
            reserved = (run.owner.name, claim.reserved, 0, 0, claim.estimate)
            await self._link.script("reserve", run.id, *reserved)

    async def _append(self, copies: Sequence[Copy]) -> None:
        for call in calls(copies):
            args: list[Any] = []
            for copy, number, packed in call:
                args += (copy.run.id, number, packed)
            refused = await self._link.script("append", *args)
            for copy, number, _ in call:
                copy.sent = number
            for run_id, why in zip(refused[::2], refused[1::2], strict=True):
                # It proves nothing: our own call may have been executed.
                self._copies[run_id.decode()].in_doubt = True
                if why.startswith(NO_WRITES):
                    self._window_end_s = asyncio.get_running_loop().time() + FULL_S

    async def _end(self, copy: Copy) -> None:
        """Write the end, with what was not written yet; full memory does not refuse it."""
        run, last = copy.run, copy.last or []
        rest = list(copy.unsent())
        if sum(len(packed) for _, packed in rest) > CALL_BYTES:
            await self._append([copy])  # Then the end, with the next window.
            return
        kept = run.request.kept and run.was_admitted
        ttl_ms = int(self._settings.search_retention_s * 1_000) if kept else 0
        fp_ttl_ms = min(ttl_ms, int(self._settings.cache_ttl_s * 1_000))
        status = "completed" if run.reusable and kept else "failed"
        how = (status, copy.claim.cost, max(ttl_ms, SHORT_TTL_MS), fp_ttl_ms, 0, copy.sent)
        end = (copy.n_events + len(last), *last_fields(last, run.error))
        copy.in_doubt = True
        with suppress(Away):
            verdict = await self._link.script(
                *("end", "owner", self._link.replica, run.id, *how, *end),
                *(part for entry in rest for part in entry),
            )
            if verdict[0] == b"done":
                self._settled(copy)
                self._ended[run.id] = copy
                asyncio.get_running_loop().call_later(ENDED_S, self._ended.pop, run.id, None)

    def _settled(self, copy: Copy) -> None:
        self._copies.pop(copy.run.id, None)
        self._link.claims.pop(copy.run.id, None)
        if not copy.settled.done():
            copy.settled.set_result(None)


def calls(copies: Sequence[Copy]) -> Iterator[list[tuple[Copy, int, bytes]]]:
    """What is new in the logs, in calls; nothing behind an entry that was refused."""
    call, size_bytes = list[tuple[Copy, int, bytes]](), 0
    for copy in copies:
        for number, packed in copy.unsent():
            if copy.in_doubt:
                break
            call.append((copy, number, packed))
            size_bytes += len(packed)
            if size_bytes > CALL_BYTES:
                yield call
                call, size_bytes = [], 0
    if call:
        yield call
