"""All runs of this process: who joins which, how long each is kept, how much memory they take."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.errors import Draining, IdempotencyMismatch, Overloaded, SearchNotFound
from app.models import Client
from app.runs.run import Reader, Run
from app.runs.work import Work

CacheResult = Literal["miss", "coalesced", "hit"]

KEYS_PER_RUN = 64

DRAIN_RETRY_AFTER_S = 5
"""By then another replica, or the new process, answers."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Times in seconds, sizes in bytes; `0` switches a limit off."""

    progress_s: float = 5
    linger_s: float = 30
    retention_s: float = 600
    cache_ttl_s: float = 300
    max_bytes: int = 33_554_432
    store_max_bytes: int = 268_435_456


class Opened(NamedTuple):
    """A reader, and how its run came about: begun for it, joined, or found finished."""

    reader: Reader
    cache: CacheResult


class Runs:
    """The runs of one process, by id, by fingerprint and by idempotency key."""

    def __init__(self, limits: RunLimits) -> None:
        self.limits = limits
        self.draining = False
        self.size_bytes = 0
        self._runs: dict[str, Run] = {}
        self._by_fingerprint: dict[str, Run] = {}
        self._by_key: dict[tuple[str, str], Run] = {}
        self._ended_at: dict[str, float] = {}
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
        work: Callable[[str], Work],
        *,
        key: str | None = None,
        fresh: bool = False,
        resumable: bool = True,
        listed: bool = True,
        kept: bool = True,
    ) -> Opened:
        """Join the run that answers this request, or start one with `work(run_id)`.

        Args:
            owner: Whose run it is; nobody else will see it.
            fingerprint: Equal for requests of one owner that must give the same answer.
            work: Makes the work of a new run.
            key: The owner's idempotency key, if one came.
            fresh: Not to reuse a finished run (one under way is still joined).
            resumable: The reader could come back after a break.
            listed: A new run can be found by its id, and tells its progress in silences.
            kept: A new run is kept when it has ended, for whoever comes back.

        Raises:
            IdempotencyMismatch: The key belongs to another request.
            Draining: A new run would be needed, and none is started any more.
            Overloaded: Runs under way fill the store.
        """
        run = self._keyed(owner, key, fingerprint) or self._equal(fingerprint, fresh=fresh)
        cache: CacheResult = "miss"
        if run is None:
            run = self._start(owner, fingerprint, work, listed=listed, kept=kept)
        else:
            cache = "hit" if run.ended else "coalesced"
        if key is not None:
            self._remember(owner, key, run)
        run.joins += 1
        return Opened(run.read(resumable=resumable or key is not None), cache)

    def find(self, owner: Client, run_id: str) -> Run:
        """Return the owner's run.

        Raises:
            SearchNotFound: Unknown, expired, or another's: no difference is told.
        """
        run = self._runs.get(run_id)
        if run is None or not run.listed or run.owner.name != owner.name:
            raise SearchNotFound("No such search, or it is no longer kept.")
        return run

    def cancel(self, run: Run) -> bool:
        """Stop a run, or leave it to the others that read it; say whether it ends."""
        if run.shared:
            return False
        run.stop()
        return True

    async def drain(self, grace_s: float) -> None:
        """Start nothing more; let runs end for `grace_s` seconds, then end the rest as failed."""
        self.draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._all_ended.wait()
        except TimeoutError:
            for run in list(self._runs.values()):
                run.stop(
                    Draining("The service is shutting down.", retry_after_s=DRAIN_RETRY_AFTER_S)
                )
            await self._all_ended.wait()

    async def close(self) -> None:
        """End whatever still runs, at once."""
        await self.drain(0)

    def _keyed(self, owner: Client, key: str | None, fingerprint: str) -> Run | None:
        run = self._by_key.get((owner.name, key)) if key is not None else None
        if run is None or not run.reusable:
            return None
        if run.fingerprint != fingerprint:
            raise IdempotencyMismatch("This Idempotency-Key was used with another request.")
        return run

    def _remember(self, owner: Client, key: str, run: Run) -> None:
        """Let a key find a run; one run has many keys only where somebody makes them up."""
        self._by_key[owner.name, key] = run
        run.keys[key] = None
        if len(run.keys) > KEYS_PER_RUN:
            self._drop_key(run, next(iter(run.keys)))

    def _drop_key(self, run: Run, key: str) -> None:
        del run.keys[key]
        if self._by_key.get((run.owner.name, key)) is run:
            del self._by_key[run.owner.name, key]

    def _equal(self, fingerprint: str, *, fresh: bool) -> Run | None:
        run = self._by_fingerprint.get(fingerprint)
        if run is None or not run.reusable:
            return None
        if not run.ended:
            return run
        age_s = asyncio.get_running_loop().time() - self._ended_at[run.id]
        return None if fresh or age_s >= self.limits.cache_ttl_s else run

    def _start(
        self,
        owner: Client,
        fingerprint: str,
        work: Callable[[str], Work],
        *,
        listed: bool,
        kept: bool,
    ) -> Run:
        if self.draining:
            raise Draining("The service is shutting down.", retry_after_s=DRAIN_RETRY_AFTER_S)
        self._make_room(0)
        run = Run(
            owner,
            fingerprint,
            progress_s=self.limits.progress_s,
            linger_s=self.limits.linger_s,
            max_bytes=self.limits.max_bytes,
            listed=listed,
            kept=kept,
        )
        self._runs[run.id] = self._by_fingerprint[fingerprint] = run
        self._all_ended.clear()
        run.start(work(run.id), grow=self._grow, ended=self._keep)
        return run

    def _grow(self, size_bytes: int, *, bounded: bool) -> None:
        if bounded and 0 < self.limits.store_max_bytes <= self.size_bytes + size_bytes:
            self._make_room(size_bytes)
        self.size_bytes += size_bytes

    def _make_room(self, size_bytes: int) -> None:
        """Make `size_bytes` more fit, or refuse them."""
        self._trim(size_bytes)
        if self._is_full(size_bytes):
            raise Overloaded("Searches under way fill the memory set aside.", retry_after_s=5)

    def _is_full(self, size_bytes: int) -> bool:
        return 0 < self.limits.store_max_bytes <= self.size_bytes + size_bytes

    def _trim(self, size_bytes: int = 0) -> None:
        """Drop ended runs, the oldest first, as long as there are too many bytes of all."""
        while self._ended_at and self._is_full(size_bytes):
            self._forget(next(iter(self._ended_at)))

    def _keep(self, run: Run, last_words_bytes: int) -> None:
        """Put an ended run aside for those that come back for it."""
        loop = asyncio.get_running_loop()
        self._ended_at[run.id] = loop.time()
        loop.call_later(self.limits.retention_s, self._forget, run.id)
        self.size_bytes += last_words_bytes
        if run.refused or not run.kept:
            self._forget(run.id)
        self._trim()
        if not self.active:
            self._all_ended.set()

    def _forget(self, run_id: str) -> None:
        if (run := self._runs.pop(run_id, None)) is None:
            return
        self._ended_at.pop(run_id, None)
        self.size_bytes -= run.log.size_bytes
        if self._by_fingerprint.get(run.fingerprint) is run:
            del self._by_fingerprint[run.fingerprint]
        for key in list(run.keys):
            self._drop_key(run, key)
