"""All runs of this process: which request joins which, how long each is kept, their memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

from app.errors import Draining, IdempotencyMismatch, Overloaded, SearchNotFound
from app.models import Client
from app.runs.log import EventLog
from app.runs.run import Commit, Reader, Run, Work, new_id
from app.settings import Settings

ENDING_AT_ONCE = 16
"""Ends of runs in one turn of the event loop: 20 ms. One a turn took 40 % more CPU a search."""

CacheResult = Literal["miss", "coalesced", "hit"]

KEY_MISMATCH = "This Idempotency-Key was used with another request."
STORE_FULL = "Searches under way fill SEARCH_STORE_MAX_BYTES."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """What a request wants of `Runs.open`."""

    owner: Client
    fingerprint: str
    """Equal for requests of one owner that may share one answer."""
    start: Callable[[str, EventLog], Work]
    """Makes the work of a new run, given its id and log."""
    key: str | None = None
    """The `Idempotency-Key`."""
    fresh: bool = False
    """Not answered by a finished run; one under way is joined."""
    resumable: bool = True
    """Whether the reader could come back after a break."""
    background: bool = False
    """Whether the run needs no reader."""
    progress_s: float = 0
    """Silence after which a new run gives a sign of life; 0: never."""
    listed: bool = True
    """Whether a new run can be found by its id."""
    kept: bool = True
    """Whether a new run stays for a while when it has ended."""


class Opened(NamedTuple):
    """A reader, and where its run came from: started for it, joined, or found finished."""

    reader: Reader
    cache: CacheResult


class Runs:
    """The runs of one process, by id, by fingerprint and by idempotency key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._max_bytes = settings.search_store_max_bytes
        self.draining = False
        self.size_bytes = 0
        """Memory that all logs take."""
        self._runs: dict[str, Run] = {}
        self._by_fingerprint = WeakValueDictionary[str, Run]()
        self._by_key = WeakValueDictionary[tuple[str, str], Run]()
        self._by_name = WeakValueDictionary[str, Run]()
        self._ended_at: dict[str, float] = {}
        self._ending = asyncio.Semaphore(ENDING_AT_ONCE)
        self._all_ended = asyncio.Event()
        self._all_ended.set()

    @property
    def active(self) -> int:
        """Runs that have not ended."""
        return len(self._runs) - len(self._ended_at)

    async def open(self, request: OpenRequest) -> Opened:
        """Join the run that answers this request, or start one.

        Raises:
            IdempotencyMismatch: The key belongs to another request.
            Draining: A new run would be needed, and none is started any more.
            Overloaded: Runs under way fill the store, or replicas share none at the moment.
        """
        if joined := self._join(request):
            return joined
        if self.draining:
            raise Draining
        self._reserve(0)
        return self._opened(self._begin(request), request, "miss")

    async def find(self, owner: Client, run_id: str) -> Run:
        """Return the owner's run.

        Raises `SearchNotFound` if unknown, expired, or another's: no difference is shown; and
        `Overloaded` if another replica may have it that cannot be asked now.
        """
        run = self._runs.get(run_id)
        if run is None or not run.listed or run.owner.name != owner.name:
            raise SearchNotFound("No such search, or it is no longer kept.")
        return run

    def name(self, run: Run, name: str) -> None:
        """Have the run found by a name, such as that of the response that it brings."""
        self._by_name[name] = run

    def unname(self, run: Run, name: str) -> None:
        """Have the run not found by this name any more, unless it is another's by now."""
        if self._by_name.get(name) is run:
            del self._by_name[name]

    async def find_named(self, owner: Client, name: str) -> Run | None:
        """The owner's run of this name, while it is kept."""
        run = self._by_name.get(name)
        known = run and run.id in self._runs and run.owner.name == owner.name
        return run if known else None

    def get(self, run_id: str) -> Run | None:
        """The run of this process that has this id."""
        return self._runs.get(run_id)

    async def cancel(self, run: Run) -> bool:
        """Stop a run unless others read it too; whether it stops."""
        return self._cancel(run)

    async def drain(self, grace_s: float) -> None:
        """Start no more runs; give the others `grace_s` seconds, then end them as failed."""
        self.draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._all_ended.wait()
        except TimeoutError:
            for run in self._runs.values():
                run.stop(Draining())
            await self._all_ended.wait()

    async def close(self) -> None:
        """End whatever still runs, at once."""
        await self.drain(0)

    def _opened(self, run: Run, request: OpenRequest, cache: CacheResult) -> Opened:
        if request.key is not None:
            self._by_key[request.owner.name, request.key] = run
        run.opens += 1
        resumable = request.resumable or request.key is not None
        return Opened(run.read(resumable=resumable, background=request.background), cache)

    def _join(self, request: OpenRequest) -> Opened | None:
        """Join the run of this process that answers the request, if there is one."""
        run = self._with_key(request) or self._equal(request)
        return self._joined(run, request) if run else None

    def _joined(self, run: Run, request: OpenRequest) -> Opened:
        return self._opened(run, request, "hit" if run.ended else "coalesced")

    def _begin(self, request: OpenRequest) -> Run:
        return self._start(request, new_id(), EventLog())

    def _start(
        self, request: OpenRequest, run_id: str, log: EventLog, commit: Commit | None = None
    ) -> Run:
        run = Run(
            id=run_id,
            log=log,
            commit=commit,
            owner=request.owner,
            fingerprint=request.fingerprint,
            listed=request.listed,
            kept=request.kept,
            max_bytes=self._settings.search_max_bytes,
            linger_s=self._settings.stream_linger_s,
            progress_s=request.progress_s,
            reserve=self._reserve,
            ending=self._ending,
            on_end=self._keep,
        )
        self._runs[run.id] = self._by_fingerprint[request.fingerprint] = run
        self._all_ended.clear()
        run.start(request.start(run.id, run.log))
        return run

    def _cancel(self, run: Run) -> bool:
        stops = not run.shared
        if stops:
            run.stop()
        elif run.left_in_background:
            run.left_in_background -= 1
        return stops

    def _with_key(self, request: OpenRequest) -> Run | None:
        run = self._by_key.get((request.owner.name, request.key or ""))
        if run is None or not self._may_share(run):
            return None
        if run.fingerprint != request.fingerprint:
            raise IdempotencyMismatch(KEY_MISMATCH)
        return run

    def _equal(self, request: OpenRequest) -> Run | None:
        run = self._by_fingerprint.get(request.fingerprint)
        if run is None or not self._may_share(run):
            return None
        if not run.ended:
            return run
        age_s = asyncio.get_running_loop().time() - self._ended_at[run.id]
        return None if request.fresh or age_s >= self._settings.cache_ttl_s else run

    def _may_share(self, run: Run) -> bool:
        return run.reusable and run.id in self._runs

    def _reserve(self, size_bytes: int) -> None:
        """Take room for events; ended runs make way, the oldest first, or it is refused."""
        while 0 < self._max_bytes <= self.size_bytes + size_bytes:
            if not self._ended_at:
                raise Overloaded(STORE_FULL)
            self._forget(next(iter(self._ended_at)))
        self.size_bytes += size_bytes

    def _keep(self, run: Run, last_bytes: int) -> None:
        """Keep an ended run for those that come back for it. Its last events always fit."""
        loop = asyncio.get_running_loop()
        self.size_bytes += last_bytes
        self._ended_at[run.id] = loop.time()
        if run.was_admitted and run.kept:
            loop.call_later(self._settings.search_retention_s, self._forget, run.id)
        else:
            self._forget(run.id)
        while self._ended_at and 0 < self._max_bytes <= self.size_bytes:
            self._forget(next(iter(self._ended_at)))
        if not self.active:
            self._all_ended.set()

    def _forget(self, run_id: str) -> None:
        if run := self._runs.pop(run_id, None):
            del self._ended_at[run_id]
            self.size_bytes -= run.log.size_bytes
