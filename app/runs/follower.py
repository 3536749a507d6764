"""Runs of other replicas: their logs, read from Redis by one command for all of them.

Each is a run here as well, whose work is to take in what the other replica writes.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from app.errors import OwnerLost, SearchNotFound, ServiceError
from app.models import Client, Event, json_bytes
from app.results import SearchResult
from app.runs.entries import End, Entry, Replay
from app.runs.log import EventLog
from app.runs.owner import LOST, ask_for
from app.runs.run import Reader, Run
from app.store import Away, Link

BLOCK_S = 3.0
PAGE = 100
PAUSE_S, CPU_SHARE = 0.03, 8
"""Pause between two reads: the least, and in times of the CPU that it took to take them in. So one
read serves many windows, and thousands of runs never take the process."""
IDLE_S = 5.0
"""How long a run is followed that nobody reads."""
QUIET_RENEWALS = 2
"""So many renewals without an event, and a run is asked for; without the run, it is lost."""
MESSAGES_MAX, MESSAGES_KEPT_MS = 10_000, 3_600_000
HEADER = ("client", "replica", "fp", "listed")


class Following:
    """The work of a run that another replica does: to take in its log."""

    def __init__(self, run_id: str, log: EventLog, *, listed: bool, replay: Replay) -> None:
        self._run_id, self._log, self._listed, self._replay = run_id, log, listed, replay
        self._arrived = asyncio.Event()
        self._new: list[Event] = []
        self.n_events = 0
        """Number of the last event that has come."""
        self.end: End | None = None

    def feed(self, entries: Sequence[Any]) -> None:
        """Take in entries; events that are here already are skipped."""
        for entry_id, fields in entries:
            entry = Entry.of(entry_id, fields)
            n_new = entry.number - self.n_events
            if n_new > len(entry.events):
                return self.lose()  # A hole; was never seen. No reader may wait for ever.
            events = entry.events[len(entry.events) - n_new :] if n_new > 0 else []
            self.n_events += len(events)
            if entry.end:
                self.end = End(events or entry.events[-1:], entry.end.error, entry.end.lost)
            else:
                self._new += events
        return self._arrived.set()

    def lose(self) -> None:
        """End it as lost."""
        error = OwnerLost(LOST)
        seen = [*self._log.events, *self._new]
        last = self._replay.end(self._run_id, seen, error, listed=self._listed)
        self.end = End(last, error, lost=True)
        self._arrived.set()

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """What comes, until the end, whose events are those of `conclude`."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._new:
                batch, self._new = self._new, []
                yield batch
            if self.end:
                self._log.lost = self.end.lost
                if self.end.error:
                    raise self.end.error
                return

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The owner's last events; ours where it fails here alone."""
        if self.end and error is self.end.error:
            return self.end.events
        if error is None or cancelled:
            return []  # Nobody reads it any more.
        return self._replay.end(self._run_id, self._log.events, error, listed=self._listed)

    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._replay.result(self._run_id, self._log.events)

    def progress(self) -> Event:
        """Never asked for: the owner's are in the log."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what has come."""
        self.end = None


class FollowedRun(Run):
    """Another replica's run: its owner is told how many read it here."""

    replica: str
    work: Following
    post: Callable[[str, dict[str, Any]], None]
    forget: Callable[["FollowedRun"], None]
    n_quiet = 0
    """Renewals since anything was heard."""
    is_forgotten = False
    stays: asyncio.Event
    """Set when the owner says that it does not stop, because others read it too."""

    def read(self, *, resumable: bool, background: bool = False) -> Reader:
        """Hold the run for one reader, here and at its owner."""
        reader = super().read(resumable=resumable, background=background)
        self.announce()
        return reader

    def leave(self) -> None:
        """Let one reader go; the run is followed a while longer."""
        self.readers -= 1
        self.announce()
        self.expire()

    def announce(self) -> None:
        """Tell the owner how many read it here: the state, so that twice does no harm."""
        if not self.ended:
            state = {"readers": self.readers, "opens": self.opens}
            state |= {"left": self.left_in_background, "resumable": self.resumable}
            message = {"what": "readers", "run": self.id, "background": self.background}
            self.post(self.replica, message | state)

    def expire(self) -> None:
        """Follow it no more when nobody reads it for a while."""

        def check() -> None:
            if not (self.readers or self.is_forgotten):
                self.is_forgotten = True
                self.stop()
                self.forget(self)

        asyncio.get_running_loop().call_later(IDLE_S, check)


class Follower:
    """Follows runs of other replicas, and passes on the messages that these send to this one."""

    def __init__(
        self,
        link: Link,
        replay: Replay,
        *,
        make: Callable[[Client, str, str, bool], FollowedRun],
        release: Callable[[FollowedRun], None],
    ) -> None:
        self._link, self._replay = link, replay
        self._make, self._release = make, release
        self._following: dict[str, asyncio.Task[FollowedRun]] = {}
        self.runs: dict[str, FollowedRun] = {}
        """Those that go on, by id."""
        self.on_message: Callable[[dict[str, Any]], None]
        self._seen = b"0-0"
        link.on_return.append(self._announce_all)
        link.on_renewal.append(self._ask_for_quiet)

    async def follow(self, run_id: str) -> FollowedRun:
        """Return the run, caught up with its log.

        Raises `SearchNotFound` if there is none, and `Away`.
        """
        if run_id not in self._following:
            self._following[run_id] = asyncio.create_task(self._begin(run_id))
        try:
            return await asyncio.shield(self._following[run_id])
        except (Away, SearchNotFound):
            self._following.pop(run_id, None)
            raise

    def post(self, replica: str, message: dict[str, Any]) -> None:
        """Send a message to a replica."""
        key, said = f"isp:ctl:{replica}", json_bytes(message | {"from": self._link.replica})
        self._link.post("XADD", key, "MAXLEN", "~", MESSAGES_MAX, "*", "d", said)
        self._link.post("PEXPIRE", key, MESSAGES_KEPT_MS)

    async def read_log(self, run_id: str, feed: Callable[[Sequence[Any]], None]) -> None:
        """Hand over the entries of a log, by pages; raises `Away`."""
        page: Sequence[Any] = [None] * PAGE
        after = "0-1"
        while len(page) == PAGE:
            command = ("XRANGE", f"isp:log:{run_id}", f"({after}", "+", "COUNT", PAGE)
            (page,) = await self._link.pipeline(command)
            feed(page)
            after = page[-1][0].decode() if page else after

    async def read(self) -> None:
        """Wait for new entries of all runs, and for messages; take them in."""
        runs = {f"isp:log:{run.id}".encode(): run for run in self.runs.values()}
        after = [f"{run.work.n_events}-{0 if run.work.n_events else 1}" for run in runs.values()]
        keys = (f"isp:ctl:{self._link.replica}", *runs, self._seen, *after)
        reply = await self._link.read_streams(BLOCK_S, "COUNT", PAGE, "STREAMS", *keys)
        began_s = time.process_time()
        for key, entries in reply or ():
            if run := runs.get(key):
                run.n_quiet = 0
                run.work.feed(entries)
                if run.work.end:
                    self.runs.pop(run.id, None)
                continue
            for self._seen, fields in entries:
                self.on_message(json.loads(fields[1]))
        if reply:
            await asyncio.sleep(max(PAUSE_S, CPU_SHARE * (time.process_time() - began_s)))

    async def _begin(self, run_id: str) -> FollowedRun:
        ((client, replica, fp, listed),) = await self._link.pipeline(
            ("HMGET", f"isp:run:{run_id}", *HEADER)
        )
        if client is None:
            raise SearchNotFound("No such search, or it is no longer kept.")
        owner = Client(client.decode(), "")
        run = self._make(owner, run_id, fp.decode(), listed == b"1")
        run.replica, run.stays = replica.decode(), asyncio.Event()
        run.post, run.forget = self.post, self._forget
        run.work = Following(run_id, run.log, listed=run.listed, replay=self._replay)
        await self.read_log(run_id, run.work.feed)
        run.start(run.work)
        while not run.ended and (run.work.end or len(run.log.events) < run.work.n_events):
            await run.log.growth()
        if not run.ended:
            self.runs[run_id] = run
            self.post(self._link.replica, {"what": "wake"})  # Ends the read that waits.
        run.expire()
        return run

    def _forget(self, run: FollowedRun) -> None:
        self.runs.pop(run.id, None)
        self._following.pop(run.id, None)
        self._release(run)

    def _announce_all(self) -> None:
        for run in self.runs.values():
            run.announce()

    async def _ask_for_quiet(self) -> None:
        """Ask for runs that nothing is heard of: ended behind our place, or not there any more."""
        for run in self.runs.values():
            run.n_quiet += 1
        quiet = [run for run in self.runs.values() if run.n_quiet > QUIET_RENEWALS]
        for start in range(0, len(quiet), PAGE):
            some = quiet[start : start + PAGE]
            replies = await self._link.pipeline(*(one for run in some for one in ask_for(run.id)))
            for run, status, top in zip(some, replies[::2], replies[1::2], strict=True):
                if status not in (None, b"running") and top:
                    # Redis came back with less than had come here.
                    run.work.feed(top)
                elif status is None and run.n_quiet > 2 * QUIET_RENEWALS:
                    run.work.lose()
                elif status:
                    run.n_quiet = QUIET_RENEWALS
                if run.work.end:
                    self.runs.pop(run.id, None)
