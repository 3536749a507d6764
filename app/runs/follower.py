"""Runs of other replicas: their logs, read from Redis by one command for all of them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import OwnerLost, SearchNotFound, ServiceError
from app.models import Client, json_bytes
from app.runs.entries import PAGE, Entry, Replay, read_log
from app.runs.owner import SharedRun
from app.runs.run import Reader, Run
from app.runs.runs import Runs
from app.store.link import COMMAND_S, RENEW_S, Link

BLOCK_S = 3.0
PAUSE_S = 0.05  # Between two reads, so that one serves many windows.
IDLE_S = 5.0  # How long a run is followed that nobody reads.
QUIET = 2  # Renewals without an event, before a run is asked for; missing as often, it is lost.
MESSAGES_MAX, MESSAGES_KEPT_MS = 10_000, 3_600_000


@dataclass(eq=False, kw_only=True)
class FollowedRun(Run):
    """Another replica's run: its log is taken in, and its owner is told how many read it here."""

    follower: "Follower"
    replica: str
    n_quiet: int = 0  # Renewals since anything was heard.

    source = "redis"

    def read(self, *, resumable: bool, background: bool = False) -> Reader:
        reader = super().read(resumable=resumable, background=background)
        self.announce()
        return reader

    def leave(self) -> None:
        super().leave()
        self.announce()
        self.expire()

    async def cancel(self) -> bool:
        """Have the owner stop it; whether it does."""
        if not self.ended:
            self.follower.post(self.replica, {"what": "cancel", "run": self.id})
            await self.finished(COMMAND_S)
        return self.ended

    def announce(self) -> None:
        """Tell the owner how many read it here: the state, so that twice does no harm."""
        if not self.ended:
            state = {"readers": self.readers, "left": self.left_in_background}
            for name in ("joined", "resumable", "background"):
                state[name] = getattr(self, name)
            self.follower.post(self.replica, {"what": "readers", "run": self.id, **state})

    def expire(self) -> None:
        """Follow it no more if nobody reads it for a while."""
        if not self.readers:
            self._linger = self._loop.call_later(IDLE_S, self.follower.forget, self)

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
            events, replay = self.log.events, self.follower.replay
            self._close(replay.end(self.id, events, error, listed=self.listed))


class Follower:
    """Follows runs of other replicas, and passes on the messages that these send to this one."""

    def __init__(
        self, link: Link, replay: Replay, runs: Runs, owned: Mapping[str, SharedRun]
    ) -> None:
        self.replay = replay
        self._link, self._runs, self._owned = link, runs, owned
        self._followed: dict[str, FollowedRun] = {}
        self._seen = b"0-0"

    @property
    def runs(self) -> list[FollowedRun]:
        """Those that go on."""
        return [run for run in self._followed.values() if not run.ended]

    async def follow(self, run_id: str) -> FollowedRun:
        """Return the run, caught up with its log; raises `SearchNotFound` and `Away`."""
        if known := self._followed.get(run_id):
            return known
        names = ("client", "replica", "listed", "status")
        values = await self._link.call("HMGET", f"isp:run:{run_id}", *names)
        log = await read_log(self._link, run_id)
        if known := self._followed.get(run_id):  # Another request has begun it meanwhile.
            return known
        if values[0] is None or not (log or values[3] == b"running"):
            raise SearchNotFound
        client, replica, listed, _ = (value.decode() for value in values)
        run = self._followed[run_id] = FollowedRun(
            id=run_id,
            owner=Client(client, ""),
            listed=listed == "1",
            reserve=self._runs.reserve,
            follower=self,
            replica=replica,
        )
        if log:
            run.take_in(log)
        self.post(self._link.replica, {"what": "wake"})  # Ends the read that waits.
        run.expire()
        return run

    def forget(self, run: FollowedRun) -> None:
        del self._followed[run.id]
        self._runs.release(run)

    def post(self, replica: str, message: dict[str, Any]) -> None:
        """Send a message to a replica."""
        text = json_bytes(message | {"from": self._link.replica})
        self._link.post("message", replica, text, MESSAGES_MAX, MESSAGES_KEPT_MS)

    async def read(self) -> None:
        """Wait for new entries of all runs, and for messages, and take them in."""
        runs = {f"isp:log:{run.id}".encode(): run for run in self.runs}
        seen = (len(run.log.events) for run in runs.values())
        after = (f"{number}-{0 if number else 1}" for number in seen)
        keys = (f"isp:ctl:{self._link.replica}", *runs, self._seen, *after)
        how = ("BLOCK", int(BLOCK_S * 1_000), "COUNT", PAGE, "STREAMS")
        reply = await self._link.call("XREAD", *how, *keys, within_s=BLOCK_S + COMMAND_S)
        for key, entries in reply or ():
            run = runs.get(key)
            if run is None:
                for self._seen, fields in entries:
                    await self._heed(json.loads(fields[b"d"]))
            elif self._followed.get(run.id) is run:
                run.n_quiet = 0
                run.take_in([Entry.of(*entry) for entry in entries])
        if reply:
            await asyncio.sleep(PAUSE_S)

    async def _heed(self, message: dict[str, Any]) -> None:
        run = self._owned.get(message.get("run", ""))
        if run and message["what"] == "readers":
            run.count_elsewhere(message)
        elif run and message["what"] == "cancel":
            await run.cancel()

    async def end_vanished(self) -> None:
        """Wait, and end runs that nothing is heard of, and that Redis has not had for a while."""
        await asyncio.sleep(RENEW_S)
        for run in self.runs:
            run.n_quiet += 1
            if run.n_quiet > QUIET and await self._link.call("EXISTS", f"isp:log:{run.id}"):
                run.n_quiet = QUIET
            if run.n_quiet > 2 * QUIET:
                run.fail(OwnerLost())
