"""The runs of one replica and, through Redis, those of all others."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.errors import (
    Draining,
    IdempotencyMismatch,
    Overloaded,
    OwnerLost,
    SearchNotFound,
    ServiceError,
)
from app.models import Client, Event
from app.runs.entries import End, Entry, Replay
from app.runs.follower import FollowedRun, Follower
from app.runs.owner import LOST, Outbox
from app.runs.run import Reader, Run, new_id
from app.runs.runs import KEY_MISMATCH, Opened, OpenRequest, Runs
from app.settings import Settings
from app.store import COMMAND_S, QUIET_MS, Away, Claim, Link

AWAY = "Redis, which replicas share, does not answer."
NAMED_S = 86_400
"""How long a name is kept; what it stands for counts only while that run is kept."""
SHARES = 5
"""How often a joined run may turn out to be ending, before the request is refused."""
LAST_WRITES_S = 2.0


@dataclass(slots=True)
class ReadersElsewhere:
    """The readers that another replica has of a run here."""

    readers: list[Reader] = field(default_factory=list)
    opens: int = 0
    left: int = 0

    def update(self, run: Run, said: dict[str, Any]) -> None:
        """Hold the run for as many readers as the other replica says."""
        run.opens += max(0, said["opens"] - self.opens)
        run.left_in_background += said["left"] - self.left
        run.background = run.background or said["background"]
        self.opens, self.left = said["opens"], said["left"]
        while len(self.readers) < said["readers"]:
            self.readers.append(run.read(resumable=said["resumable"]))
        while len(self.readers) > said["readers"]:
            self.readers.pop().close()


class ReplicatedRuns(Runs):
    """The same as `Runs`, over all replicas.

    No replica takes over another's search: it would pay again. The runs of one that is gone are
    ended by whichever notices it.
    """

    def __init__(self, settings: Settings, link: Link, replay: Replay) -> None:
        super().__init__(settings)
        self._link, self._replay = link, replay
        self._limited = bool(
            settings.budget_client_cny_per_day or settings.budget_total_cny_per_day
        )
        self._outbox = Outbox(settings, link, replay)
        self._follower = Follower(link, replay, make=self._followed, release=self._release)
        self._follower.on_message = self._on_message
        self._elsewhere: dict[tuple[str, str], ReadersElsewhere] = {}
        self._burials: set[asyncio.Task[None]] = set()
        link.on_death.append(self._on_death)

    async def start(self, stack: AsyncExitStack) -> None:
        """Connect, and work until `stack` ends; raises `SettingsError` if Redis does not answer."""
        await self._link.start(stack, self._outbox.write, self._follower.read)

    async def open(self, request: OpenRequest) -> Opened:
        """Join the run that answers this request, wherever it is, or start one here.

        What is known here is joined even if Redis is back and was not told of it yet. A key that
        is not known here may belong to another request elsewhere.
        """
        if (request.key is None or self._with_key(request)) and (known := self._join(request)):
            return known
        skip, refusal = "", self._refusal()
        for _ in range(SHARES):
            run_id = new_id()
            claim = _claim_of(request)
            try:
                verdict, found = await self._outbox.claim(
                    run_id, claim, fresh=request.fresh, may_begin=refusal is None, skip=skip
                )
            except Away as exc:
                if self._limited:
                    raise Overloaded(AWAY) from exc
                return await super().open(request)
            if verdict == "new":
                run: Run = self._begin_copied(request, run_id, claim, claimed=True)
                return self._opened(run, request, "miss")
            if verdict == "mismatch":
                raise IdempotencyMismatch(KEY_MISMATCH)
            if refusal and verdict == "none":
                raise refusal
            try:
                run = self._runs.get(found) or await self._follow(found)
            except SearchNotFound:
                continue
            if run.reusable:
                return self._joined(run, request)
            skip = found
        raise Overloaded("The search that answers this request is ending.")

    async def find(self, owner: Client, run_id: str) -> Run:
        """Return the owner's run, from whichever replica."""
        if run_id in self._runs:
            return await super().find(owner, run_id)
        run = await self._follow(run_id)
        if not run.listed or run.owner.name != owner.name:
            raise SearchNotFound("No such search, or it is no longer kept.")
        return run

    def name(self, run: Run, name: str) -> None:
        """Have the run found by a name, on all replicas."""
        if self._by_name.get(name) is not run:
            self._link.post("SET", f"isp:name:{name}", run.id, "EX", NAMED_S)
        super().name(run, name)

    def unname(self, run: Run, name: str) -> None:
        """Have the run not found by this name any more."""
        super().unname(run, name)
        self._link.post_script("unname", name, run.id)

    async def find_named(self, owner: Client, name: str) -> Run | None:
        """The owner's run of this name, from whichever replica."""
        if run := await super().find_named(owner, name):
            return run
        try:
            (run_id,) = await self._link.pipeline(("GET", f"isp:name:{name}"))
        except Away as exc:
            raise Overloaded(AWAY) from exc
        if run_id is None:
            return None
        try:
            found = self._runs.get(run_id.decode()) or await self._follow(run_id.decode())
        except SearchNotFound:
            return None
        if not (found.log.events or found.ended):
            # Its name may be here before its first events, which bear the name.
            await asyncio.wait({found.log.growth()}, timeout=COMMAND_S)
        return found if found.owner.name == owner.name else None

    async def cancel(self, run: Run) -> bool:
        """Stop a run, wherever it is, unless others read it too; whether it stops."""
        if not isinstance(run, FollowedRun) or run.ended:
            return self._cancel(run)
        run.stays.clear()
        self._follower.post(run.replica, {"what": "cancel", "run": run.id})
        waits = [asyncio.create_task(one) for one in (run.stays.wait(), run.finished())]
        await asyncio.wait(waits, timeout=COMMAND_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return run.ended

    async def drain(self, grace_s: float) -> None:
        """End the runs here, and follow those elsewhere until the grace ends; then cut these."""
        until = asyncio.get_running_loop().time() + grace_s
        await super().drain(grace_s)
        followed = self._follower.runs.values
        try:
            async with asyncio.timeout_at(until):
                while reading := [run for run in followed() if run.readers]:
                    await reading[0].finished()
        except TimeoutError:
            for run in list(followed()):
                run.cut = True
                run.stop(Draining())
        try:
            async with asyncio.timeout(LAST_WRITES_S if self._link.up else 0):
                await self._outbox.emptied()
            await self._link.release()
        except TimeoutError:
            pass  # Others end what is left when the lease has ended.

    def _refusal(self) -> ServiceError | None:
        """Why no run may begin here, if so."""
        if self.draining:
            return Draining()
        try:
            self._reserve(0)
        except Overloaded as exc:
            return exc
        return None

    def _begin(self, request: OpenRequest) -> Run:
        """Begin a run that is not claimed: it will be, when Redis is back."""
        return self._begin_copied(request, new_id(), _claim_of(request), claimed=False)

    def _begin_copied(
        self, request: OpenRequest, run_id: str, claim: Claim, *, claimed: bool
    ) -> Run:
        copy = self._outbox.begin(run_id, claim, claimed=claimed)

        copy.run = self._start(request, run_id, copy.log, partial(self._outbox.commit, copy))
        return copy.run

    async def _follow(self, run_id: str) -> FollowedRun:
        try:
            return await self._follower.follow(run_id)
        except Away as exc:
            raise Overloaded(AWAY) from exc

    def _followed(self, owner: Client, run_id: str, fingerprint: str, listed: bool) -> FollowedRun:  # noqa: FBT001
        return FollowedRun(
            id=run_id,
            owner=owner,
            fingerprint=fingerprint,
            listed=listed,
            kept=False,
            max_bytes=0,
            linger_s=0,
            progress_s=0,
            reserve=self._reserve,
            ending=self._ending,
            on_end=self._count_last,
            source="redis",
        )

    def _count_last(self, _: Run, last_bytes: int) -> None:
        self.size_bytes += last_bytes

    def _release(self, run: Run) -> None:
        self.size_bytes -= run.log.size_bytes

    def _on_message(self, said: dict[str, Any]) -> None:
        run_id, sender = said.get("run", ""), said["from"]
        run = self._runs.get(run_id)
        if said["what"] == "stays" and run_id in self._follower.runs:
            self._follower.runs[run_id].stays.set()
        elif run and said["what"] == "readers":
            known = self._elsewhere.setdefault((run_id, sender), ReadersElsewhere())
            known.update(run, said)
            if not known.readers:
                del self._elsewhere[run_id, sender]
        elif run and said["what"] == "cancel" and not self._cancel(run):
            self._follower.post(sender, {"what": "stays", "run": run_id})

    def _on_death(self, replica: str, is_ours: bool) -> None:  # noqa: FBT001
        """Let a dead replica's readers go, and end its runs if that is ours to do."""
        for run_id, reader in list(self._elsewhere):
            if reader == replica:
                for one in self._elsewhere.pop((run_id, reader)).readers:
                    one.close()
        if is_ours:
            # In a task of its own, or our own lease would end while many logs are read.
            self._burials.add(task := asyncio.create_task(self._bury(replica)))
            task.add_done_callback(self._burials.discard)

    async def _bury(self, replica: str) -> None:
        try:
            (run_ids,) = await self._link.pipeline(("SMEMBERS", f"isp:runs:{replica}"))
            for run_id in run_ids:
                await self._judge(replica, run_id.decode())
        except Away:
            pass  # Another finds it in five seconds.

    async def _judge(self, replica: str, run_id: str) -> None:
        """End a run whose replica is gone, with what it had found."""
        ((listed, estimate),) = await self._link.pipeline(
            ("HMGET", f"isp:run:{run_id}", "listed", "estimate")
        )
        events: list[Event] = []

        def take(page: Sequence[Any]) -> None:
            for entry in page:
                events.extend(Entry.of(*entry).events)

        await self._follower.read_log(run_id, take)
        error = OwnerLost(LOST)
        last = self._replay.end(run_id, events, error, listed=listed == b"1")
        cost = self._replay.cost(events, (estimate or b"").decode())
        ttl_ms = int(self._settings.search_retention_s * 1_000)
        end = End(last, error, lost=True).fields()
        (verdict, *_) = await self._link.script(
            *("end", "judge", self._link.replica, run_id, "failed", cost, ttl_ms, 0, QUIET_MS),
            *(len(events), len(events) + len(last), *end),
        )
        if verdict == b"gone":
            await self._link.pipeline(("SREM", f"isp:runs:{replica}", run_id))


def _claim_of(request: OpenRequest) -> Claim:
    key, listed, kept = request.key or "", request.listed, request.kept
    return Claim(request.owner.name, request.fingerprint, key, listed=listed, kept=kept)
