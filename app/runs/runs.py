"""All runs of this process: which request joins which, how long each is kept, their memory."""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

from app.errors import Draining, IdempotencyMismatch, Overloaded, SearchNotFound
from app.models import Client
from app.runs.log import EventLog
from app.runs.run import Reader, Run, Work
from app.settings import Settings

CacheResult = Literal["miss", "coalesced", "hit"]

STORE_FULL = "Searches under way fill SEARCH_STORE_MAX_BYTES."


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
        self._by_response = WeakValueDictionary[str, Run]()
        self._ended_at: dict[str, float] = {}
        self._ending = asyncio.Lock()
        self._all_ended = asyncio.Event()
        self._all_ended.set()

    @property
    def active(self) -> int:
        """Runs that have not ended."""
        return len(self._runs) - len(self._ended_at)

    def open(
        self,
        owner: Client,
        fingerprint: str,
        start: Callable[[str, EventLog], Work],
        *,
        key: str | None = None,
        fresh: bool = False,
        resumable: bool = True,
        background: bool = False,
        progress_s: float = 0,
        listed: bool = True,
        kept: bool = True,
    ) -> Opened:
        """Join the run that answers this request, or start one.

        `fingerprint` is equal for requests of one owner that may share one answer; `fresh` excludes
        a finished run, but not one under way. A `resumable` reader could come back after a break;
        in the `background` the run needs none. A new run gives a sign of life after `progress_s`
        of silence (0: never), can be found by its id if `listed`, and stays a while for whoever
        comes back if `kept`.

        Raises:
            IdempotencyMismatch: The key belongs to another request.
            Draining: A new run would be needed, and none is started any more.
            Overloaded: Runs under way fill the store.
        """
        run = self._with_key(owner, key, fingerprint) or self._equal(fingerprint, fresh=fresh)
        cache: CacheResult = "miss"
        if run:
            cache = "hit" if run.ended else "coalesced"
        else:
            if self.draining:
                raise Draining
            self._reserve(0)
            run = Run(
                owner=owner,
                fingerprint=fingerprint,
                listed=listed,
                kept=kept,
                max_bytes=self._settings.search_max_bytes,
                linger_s=self._settings.stream_linger_s,
                progress_s=progress_s,
                reserve=self._reserve,
                ending=self._ending,
                on_end=self._keep,
            )
            self._runs[run.id] = self._by_fingerprint[fingerprint] = run
            self._all_ended.clear()
            run.start(start(run.id, run.log))
        if key is not None:
            self._by_key[owner.name, key] = run
        run.opens += 1
        resumable = resumable or key is not None
        return Opened(run.read(resumable=resumable, background=background), cache)

    def find(self, owner: Client, run_id: str) -> Run:
        """Return the owner's run.

        Raises `SearchNotFound` if unknown, expired, or another's: no difference is shown.
        """
        run = self._runs.get(run_id)
        if run is None or not run.listed or run.owner.name != owner.name:
            raise SearchNotFound("No such search, or it is no longer kept.")
        return run

    def name_response(self, run_id: str, response_id: str) -> None:
        """Note which run brings this response of the upstream."""
        self._by_response[response_id] = self._runs[run_id]

    def find_response(self, owner: Client, response_id: str) -> Run | None:
        """The owner's run that brings this response, while it is kept."""
        run = self._by_response.get(response_id)
        known = run and run.id in self._runs and run.owner.name == owner.name
        return run if known else None

    def cancel(self, run: Run) -> bool:
        """Stop a run unless others read it too; whether it stops."""
        stops = not run.shared
        if stops:
            run.stop()
        elif run.left_in_background:
            run.left_in_background -= 1
        return stops

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

    def _with_key(self, owner: Client, key: str | None, fingerprint: str) -> Run | None:
        run = self._by_key.get((owner.name, key or ""))
        if run is None or not self._may_share(run):
            return None
        if run.fingerprint != fingerprint:
            raise IdempotencyMismatch("This Idempotency-Key was used with another request.")
        return run

    def _equal(self, fingerprint: str, *, fresh: bool) -> Run | None:
        run = self._by_fingerprint.get(fingerprint)
        if run is None or not self._may_share(run):
            return None
        if not run.ended:
            return run
        age_s = asyncio.get_running_loop().time() - self._ended_at[run.id]
        return None if fresh or age_s >= self._settings.cache_ttl_s else run

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
