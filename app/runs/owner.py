"""The runs of this replica, copied to Redis: every window, and at once where a reader waits for it.

The log in memory is the truth for the readers here, who never wait for Redis but at the end: one
second at most. Whatever may have been lost is asked for and written again.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from app.errors import Overloaded, OwnerLost, ServiceError
from app.models import Event
from app.results import Problem
from app.runs.followed import Entry
from app.runs.local import LocalRun, OpenRequest
from app.runs.run import EVENT_OVERHEAD_BYTES, size_of
from app.settings import Settings
from app.store.redis_client import COMMAND_S, RedisClient, RedisDown

WINDOW_S = 0.1
CALL_BYTES = 1_048_576  # Of events in one call, about.
ENDED_S = 60  # How long an end is remembered: a failover may forget one that was acknowledged.
DAY_S = 86_400
UNDONE_TTL_MS = 600_000  # A claim that comes later than this was not on its way.


@dataclass(eq=False, kw_only=True)
class SharedRun(LocalRun):
    """A run of this replica that others may follow, and how far its log is in Redis."""

    outbox: "Outbox"
    in_doubt: bool = True  # Whether Redis has to be asked first.
    sent: int = 0  # Number of the last event there.
    last: Sequence[Event] | None = None  # The last events, as soon as they are known.
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # When its end is there.
    elsewhere: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last message of each replica that has had readers of this run, by replica."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.outbox.runs[self.id] = self

    @property
    def unsent(self) -> Sequence[Event]:
        """Events that are not in Redis yet, but for the last ones."""
        n_events = len(self.log.events) - (len(self.last or ()) if self.ended else 0)
        return self.log.events[self.sent : n_events]

    def settle(self) -> None:
        """Let readers here have the last events; nothing more of it is written to Redis."""
        self.outbox.runs.pop(self.id, None)
        super()._close(self.last or [])
        self.settled.set()

    def count_elsewhere(self, message: dict[str, Any]) -> None:
        """Hold the run for as many readers as another replica says that it has."""
        known = self.elsewhere.get(message["from"], {"readers": 0, "left_in_background": 0})
        self.elsewhere[message["from"]] = message
        self.joined = self.joined or message["joined"]
        self.left_in_background += message["left_in_background"] - known["left_in_background"]
        self.background = self.background or message["background"]
        for _ in range(known["readers"], message["readers"]):
            self.read(resumable=message["resumable"])
        for _ in range(message["readers"], known["readers"]):
            self.leave()

    def _append(self, events: Sequence[Event]) -> None:
        super()._append(events)
        if any(event.type == "search.results" for event in events):
            self.outbox.wake.set()

    def _close(self, last: Sequence[Event]) -> None:
        """Close the log when Redis has its end, or after a second, or at once without Redis."""
        self.last = last
        if self.in_doubt and not self.was_admitted:  # Not kept until Redis is back.
            self.outbox.undo(self.id)
            self.settle()
            return
        self.outbox.wake.set()
        wait_s = COMMAND_S if self.outbox.redis.up else 0
        self._loop.call_later(wait_s, super()._close, last)


class Outbox:
    """Claims, writes and ends the runs of this replica in Redis."""

    def __init__(self, settings: Settings, redis: RedisClient, forget: Callable[..., None]) -> None:
        self.redis = redis
        self.runs: dict[str, SharedRun] = {}  # Whose end is not in Redis yet.
        self.wake = asyncio.Event()  # Ends the window.
        self._settings, self._forget = settings, forget
        upstream_s = settings.upstream_total_timeout_s or DAY_S
        longest_s = upstream_s + settings.upstream_retry_total_s + settings.capacity_wait_s
        self._ttl_ms = int((longest_s + settings.search_retention_s) * 1_000)
        self._ended: dict[str, SharedRun] = {}

    async def claim(self, run_id: str, request: OpenRequest, skip: str) -> tuple[str, str]:
        """Join or claim; see `open.lua`. Raises `RedisDown`: then the claim is undone later."""
        if not self.redis.up:
            raise RedisDown
        try:
            outcome, found = await self._open(run_id, request, skip)
        except BaseException:  # Who asked may also have left.
            self.undo(run_id)
            raise
        return outcome.decode(), found.decode()

    def undo(self, run_id: str) -> None:
        """End a run soon that may be claimed, though nothing comes of it."""
        error = Overloaded("Replicas could not share this search.", retry_after_s=1)
        end = ("failed", 0, UNDONE_TTL_MS, 0, 0, 0, *ending([], [], 0, error))
        self.redis.post("end", "undo", self.redis.replica, run_id, *end)

    def mark_all_in_doubt(self) -> None:
        """Nothing is certain: Redis is back, or has lost data, or our lease had ended."""
        # The ended first: what points to them is then taken over by those that go on.
        self.runs = self._ended | self.runs
        self._ended.clear()
        for run in self.runs.values():
            run.in_doubt = True
        self.wake.set()

    async def write(self) -> None:
        """Wait for the end of the window, or for what is urgent, and write what has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WINDOW_S):
                await self.wake.wait()
        self.wake.clear()
        if not self.redis.up:
            return
        runs = list(self.runs.values())
        try:
            for run in runs:
                if run.in_doubt:
                    with suppress(RedisDown):
                        await self._go_on(run)
            known = [run for run in runs if run.id in self.runs and not run.in_doubt]
            await asyncio.gather(*(self._end(run) for run in known if run.last is not None))
            await self._append([run for run in known if run.last is None])
        except RedisDown:
            for run in runs:
                run.in_doubt = True
            raise

    async def _open(
        self, run_id: str, request: OpenRequest, skip: str = "", *, restore: bool = False
    ) -> Any:
        asked = (request.owner.name, request.fingerprint, request.key or "", int(request.fresh))
        how = (skip, int(request.listed), self._ttl_ms, int(restore))
        return await self.redis.script("open", self.redis.replica, run_id, *asked, *how)

    async def _go_on(self, run: SharedRun) -> None:
        """Continue after the last entry in Redis, write the log again, or give the run up."""
        status = await self.redis.call("HGET", f"isp:run:{run.id}", "status")
        found = await self.redis.call("XREVRANGE", f"isp:log:{run.id}", "+", "-", "COUNT", 1)
        top = Entry.of(*found[0]) if found else None
        if status not in (None, b"running"):
            if run.last is None:
                run.stop(OwnerLost())
                return
            run.settle()
            if top and isinstance(top.error, OwnerLost):
                self._forget(run.id)  # The end that another wrote counts, here as everywhere.
            return
        if status is None or not top:
            await self._open(run.id, run.request, restore=True)
        if permit := run.work.permit:  # Once more does no harm.
            reserved = (run.owner.name, permit.reserved, 0, 0, permit.estimate)
            await self.redis.script("reserve", run.id, *reserved)
        run.sent = top.number if top else 0
        run.in_doubt = False

    async def _append(self, runs: Sequence[SharedRun]) -> None:
        """Write what is new in the logs; raises `RedisDown` if any of it is refused.

        That proves nothing, since our own call may have been executed: Redis has to be asked.
        """
        args, sent, size_bytes = list[Any](), dict[SharedRun, int](), 0
        new = ((run, *one) for run in runs for one in enumerate(run.unsent, run.sent + 1))
        for run, number, event in new:
            args += (run.id, number, *event)
            sent[run] = number
            size_bytes += len(event.data) + EVENT_OVERHEAD_BYTES
            if size_bytes > CALL_BYTES:
                self.wake.set()  # The rest comes at once.
                break
        if args and await self.redis.script("append", *args):
            raise RedisDown
        for run, number in sent.items():
            run.sent = number

    async def _end(self, run: SharedRun) -> None:
        """Write the end, with what was not written yet; full memory does not refuse it."""
        if size_of(run.unsent) > CALL_BYTES:
            await self._append([run])  # Then the end, with a later window.
            return
        ttl_ms = int(self._settings.search_retention_s * 1_000) if run.kept else 0
        fp_ttl_ms = min(ttl_ms, int(self._settings.cache_ttl_s * 1_000))
        status = "completed" if run.reusable and run.kept else "failed"
        cost = run.work.permit.spent if run.work.permit else 0
        how = (status, cost, ttl_ms, fp_ttl_ms, 0, run.sent)
        end = ending(run.unsent, run.last or [], run.sent, run.error)
        run.in_doubt = True
        with suppress(RedisDown):
            reply = await self.redis.script("end", "owner", self.redis.replica, run.id, *how, *end)
            if reply[0] == b"done":
                run.settle()
                self._ended[run.id] = run
                asyncio.get_running_loop().call_later(ENDED_S, self._ended.pop, run.id, None)


def ending(
    events: Sequence[Event], last: Sequence[Event], before: int, error: ServiceError | None
) -> list[Any]:
    """How a run ends, and what comes after number `before`, as `end.lua` writes them."""
    parts: list[Any] = [Problem.of(error, request_id="").json_bytes() if error else b""]
    for number, event in enumerate([*events, *(last or [Event("", b"")])], before + 1):
        parts += (number, *event)
    return parts
