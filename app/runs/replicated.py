"""The runs of one replica and, through Redis, those of all others."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from app.errors import Draining, IdempotencyMismatch, Overloaded, OwnerLost
from app.models import Client
from app.runs.followed import PAGE, Conclude, Entry, FollowedRun, read_log
from app.runs.local import OpenRequest
from app.runs.owner import Outbox, SharedRun, ending
from app.runs.run import Reader, Run, new_id
from app.runs.runs import KEY_MISMATCH, Runs
from app.settings import Settings
from app.store.redis_client import COMMAND_S, QUIET_MS, RENEW_S, RedisClient, RedisDown

NAMED_S = 86_400  # How long a name is kept; it counts only while its run is kept.
SHARES = 5  # How often a joined run may turn out to be ending, before the request is refused.
LAST_WRITES_S = 2.0
BLOCK_S = 3.0
PAUSE_S = 0.05  # Between two reads, so that one serves many windows.
IDLE_RENEWALS = 2  # Without a reader, before another's run is not followed any more.
QUIET_RENEWALS = 2  # Without an event, before Redis is asked for it: missing as often, it is lost.


class ReplicatedRuns(Runs):
    """The same as `Runs`, over all replicas: runs of others are followed while they are read."""

    def __init__(self, settings: Settings, redis: RedisClient, conclude: Conclude) -> None:
        super().__init__(settings)
        self._redis, self._conclude = redis, conclude
        self._asking = WeakValueDictionary[str, asyncio.Lock]()  # By fingerprint or id.
        self._dead = asyncio.Queue[str]()  # Replicas whose runs are ours to end.
        self._outbox = Outbox(settings, redis, self._forget)
        self._make_run = partial(SharedRun, outbox=self._outbox)
        self._followed = WeakSet[FollowedRun]()  # Those of others among our runs.
        self._seen = b"0-0"  # Of the messages to this replica.

    async def start(self, stack: AsyncExitStack) -> None:
        """Connect, and work until `stack` ends; raises `SettingsError` if Redis does not answer."""
        steps = (self._renew, self._end_next, self._outbox.write, self._read_others)
        await self._redis.start(stack, *steps, self._check_others)

    async def open(self, request: OpenRequest) -> Reader:
        """Join the run that answers this request, wherever it is, or start one here.

        What is known here is joined even if Redis is back and was not told of it yet. A key that
        is not known here may belong to another request elsewhere.
        """
        # One after the other where they are equal: what the first one begins, the next finds here.
        async with self._asking.setdefault(request.fingerprint, asyncio.Lock()):
            run = self._equal(request) if request.key is None else self._with_key(request)
            # Whether another's end has freed the key, as a cancelled one does, Redis knows.
            if run and not (run.ended and isinstance(run, FollowedRun)):
                return self._read(run, request)
            self._check_room()
            skip = ""
            for _ in range(SHARES):
                run_id = new_id()
                try:
                    outcome, found = await self._outbox.claim(run_id, request, skip)
                except RedisDown:  # It runs here alone, unless a budget is set: that refuses it.
                    return await super().open(request)
                if outcome == "new":
                    run = self._begin(request, run_id)
                    self._outbox.runs[run_id].in_doubt = False
                    return self._read(run, request, is_new=True)
                if outcome == "mismatch":
                    raise IdempotencyMismatch(KEY_MISMATCH)
                if (joined := await self._look_up(found)) and joined.reusable:
                    return self._read(joined, request)
                skip = found
        raise Overloaded("The search that answers this request is ending.")

    def name(self, run_id: str, name: str) -> None:
        super().name(run_id, name)
        self._redis.post("name", name, run_id, NAMED_S)

    def unname(self, run: Run, name: str) -> None:
        super().unname(run, name)
        self._redis.post("unname", name, run.id)

    async def drain(self, grace_s: float = 0) -> None:
        """End the runs here, and follow those elsewhere until the grace ends; then cut these."""
        until = asyncio.get_running_loop().time() + grace_s
        await super().drain(grace_s)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while followed := [run for run in self._others() if run.readers]:
                    await followed[0].finished()
        for run in self._others():
            run.cut = True
            run.fail(Draining())
        with suppress(TimeoutError, RedisDown):  # Others end what is left when the lease has ended.
            async with asyncio.timeout(LAST_WRITES_S if self._redis.up else 0):
                for own in list(self._outbox.runs.values()):
                    await own.settled.wait()
                await self._redis.call("DEL", f"isp:replica:{self._redis.replica}")

    def _others(self) -> list[FollowedRun]:
        """The runs of other replicas that are followed here and go on."""
        known = self._runs.get
        return [run for run in self._followed if known(run.id) is run and not run.ended]

    async def _look_up(self, run_id: str) -> Run | None:
        """The run, caught up with its log if it is another replica's; raises `RedisDown`."""
        async with self._asking.setdefault(run_id, asyncio.Lock()):
            if known := self._runs.get(run_id):
                return known
            names = ("client", "fp", "replica", "listed", "status")
            values = await self._redis.call("HMGET", f"isp:run:{run_id}", *names)
            log = await read_log(self._redis, run_id)
            if values[0] is None or not (log or values[-1] == b"running"):
                return None
            client, fingerprint, replica, listed, _ = (value.decode() for value in values)
            run = self._runs[run_id] = FollowedRun(
                id=run_id,
                owner=Client(client, ""),
                fingerprint=fingerprint,
                listed=listed == "1",
                reserve=self.reserve,
                redis=self._redis,
                conclude=self._conclude,
                replica=replica,
            )
            self._followed.add(run)
        if log:
            run.take_in(log)
        self._redis.send(self._redis.replica, {"what": "wake"})  # Ends the read that waits.
        return run

    async def _look_up_name(self, name: str) -> Run | None:
        if run := await super()._look_up_name(name):
            return run
        run_id = await self._redis.call("GET", f"isp:name:{name}")
        run = await self._look_up(run_id.decode()) if run_id else None
        if run and not (run.log.events or run.ended):
            # Its name may be here before its first events, which bear the name.
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMAND_S):
                    await run.log.grown.wait()
        return run

    async def _read_others(self) -> None:
        """Wait for new entries of all runs, and for messages, and take them in."""
        runs = {f"isp:log:{run.id}".encode(): run for run in self._others()}
        seen = (len(run.log.events) for run in runs.values())
        after = (f"{number}-{0 if number else 1}" for number in seen)
        keys = (f"isp:ctl:{self._redis.replica}", *runs, self._seen, *after)
        how = ("BLOCK", int(BLOCK_S * 1_000), "COUNT", PAGE, "STREAMS")
        reply = await self._redis.call("XREAD", *how, *keys, within_s=BLOCK_S + COMMAND_S)
        for key, entries in reply or ():
            run = runs.get(key)
            if run is None:
                for entry_id, fields in entries:
                    self._seen = entry_id
                    await self._handle_message(json.loads(fields[b"d"]))
            elif self._runs.get(run.id) is run:  # It may be forgotten.
                run.n_quiet = 0
                run.take_in([Entry.of(*entry) for entry in entries])
        if reply:
            await asyncio.sleep(PAUSE_S)

    async def _handle_message(self, message: dict[str, Any]) -> None:
        run = self._outbox.runs.get(message.get("run", ""))
        if run and message["what"] == "readers":
            run.count_elsewhere(message)
        elif run and message["what"] == "cancel":
            await run.cancel()

    async def _check_others(self) -> None:
        """Forget runs that nobody has read for a while, and end those that Redis has not had."""
        await asyncio.sleep(RENEW_S)
        for run in list(self._followed):
            # Its owner is told how many have left it to itself: that is counted as long as it runs.
            is_wanted = run.readers or (run.left_in_background and not run.ended)
            run.n_idle = 0 if is_wanted else run.n_idle + 1
            if run.n_idle >= IDLE_RENEWALS:
                self._forget(run.id)
        for run in self._others():
            log, is_asked = f"isp:log:{run.id}", run.n_quiet >= QUIET_RENEWALS
            # Asked before it is counted, as Redis may be down.
            if is_asked and await self._redis.call("EXISTS", log):
                run.n_quiet = QUIET_RENEWALS
                continue
            run.n_quiet += 1
            if run.n_quiet > 2 * QUIET_RENEWALS:
                run.fail(OwnerLost())

    async def _renew(self) -> None:
        is_news, dead = await self._redis.renew()
        if is_news:
            self._outbox.mark_all_in_doubt()
            for followed in self._others():
                followed.announce()
        for replica, is_ours in dead:
            for run in self._outbox.runs.values():
                if known := run.elsewhere.get(replica):
                    run.count_elsewhere(known | {"readers": 0})
            if is_ours:
                self._dead.put_nowait(replica)
        await asyncio.sleep(RENEW_S)

    async def _end_next(self) -> None:
        """End what a replica that is gone has left, with what was found, unless it has ended.

        A step of its own, since many logs take a while to read. No replica takes a run over: it
        would pay again. Raises `RedisDown`: then another replica finds it in five seconds.
        """
        redis, replica = self._redis, await self._dead.get()
        ttl_ms = int(self._settings.search_retention_s * 1_000)
        left = f"isp:runs:{replica}"
        for name in await redis.call("SMEMBERS", left):
            run_id = name.decode()
            values = await redis.call("HMGET", f"isp:run:{run_id}", "listed", "estimate")
            listed, estimate = ((value or b"").decode() for value in values)
            events, error = [entry.event for entry in await read_log(redis, run_id)], OwnerLost()
            about = {"listed": listed == "1", "estimate": estimate}
            last, cost = self._conclude(run_id, events, error, **about)
            how = ("failed", cost, ttl_ms, 0, QUIET_MS, len(events))
            end = ending([], last, len(events), error)
            outcome = await redis.script("end", "reaper", redis.replica, run_id, *how, *end)
            if outcome == [b"gone"]:
                await redis.call("SREM", left, run_id)
