"""All runs of this process: which request joins which, how long each is kept, their memory."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from app.errors import Draining, IdempotencyMismatch, Overloaded, SearchNotFound
from app.models import Client
from app.runs.local import LocalRun, OpenRequest
from app.runs.run import Reader, Run, new_id
from app.settings import Settings

ENDING_AT_ONCE = 16  # Ends in one turn of the event loop: 20 ms. One took 40 % more CPU a search.
KEY_MISMATCH = "This Idempotency-Key was used with another request."


class Runs:
    """The runs of one process, by id, by fingerprint and by idempotency key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._make_run: Callable[..., LocalRun] = LocalRun
        self.draining = False
        self.size_bytes = 0  # Memory that all logs take.
        self._runs: dict[str, Run] = {}
        self._by_fingerprint = WeakValueDictionary[str, Run]()
        self._by_key = WeakValueDictionary[tuple[str, str], Run]()
        self._by_name = WeakValueDictionary[str, Run]()
        self._ending = asyncio.Semaphore(ENDING_AT_ONCE)

    @property
    def running(self) -> list[LocalRun]:
        """Those whose work goes on here."""
        return [run for run in self._runs.values() if isinstance(run, LocalRun) and not run.ended]

    async def open(self, request: OpenRequest) -> Reader:
        """Join the run that answers this request, or start one.

        Raises `IdempotencyMismatch`; and `Draining` or `Overloaded` where none may be started.
        """
        if run := self._with_key(request) or self._equal(request):
            return self._read(run, request)
        self._check_room()
        return self._read(self._begin(request, new_id()), request, is_new=True)

    async def find(self, owner: Client, run_id: str) -> Run:
        """The owner's run; `SearchNotFound` if it has none, `Overloaded` if nobody can say now."""
        run = await self._look_up(run_id)
        if run is None or not run.listed or run.owner.name != owner.name:
            raise SearchNotFound("No such search, or it is no longer kept.")
        return run

    def name(self, run_id: str, name: str) -> None:
        """Have a run found by a name, such as that of the response that it brings."""
        if run := self._runs.get(run_id):
            self._by_name[name] = run

    def unname(self, run: Run, name: str) -> None:
        """Have the run not found by this name any more, unless it is another's by now."""
        if self._by_name.get(name) is run:
            del self._by_name[name]

    async def find_named(self, owner: Client, name: str) -> Run | None:
        """The owner's run of this name, while it is kept."""
        run = await self._look_up_name(name)
        return run if run and run.owner.name == owner.name else None

    async def drain(self, grace_s: float = 0) -> None:
        """Start no more runs; give the others `grace_s` seconds, then end them as failed."""
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while runs := self.running:
                    await runs[0].finished()
        for run in self.running:
            run.stop(Draining())
        while runs := self.running:
            await runs[0].finished()

    def reserve(self, size_bytes: int, *, always: bool = False) -> None:
        """Take memory, from ended runs if need be; `Overloaded`, but last events `always` fit."""
        while 0 < self._settings.search_store_max_bytes <= self.size_bytes + size_bytes:
            if ended := next((run for run in self._runs.values() if run.ended), None):
                self._forget(ended.id)
            elif always:
                break
            else:
                raise Overloaded("Searches under way fill SEARCH_STORE_MAX_BYTES.")
        self.size_bytes += size_bytes

    async def _look_up(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    async def _look_up_name(self, name: str) -> Run | None:
        run = self._by_name.get(name)
        return self._runs.get(run.id) if run else None

    def _read(self, run: Run, request: OpenRequest, *, is_new: bool = False) -> Reader:
        if request.key is not None:
            self._by_key[request.owner.name, request.key] = run
        run.joined = run.joined or not is_new
        resumable = request.resumable or request.key is not None
        reader = run.read(resumable=resumable, background=request.background)
        reader.cache = "miss" if is_new else "hit" if run.ended else "coalesced"
        return reader

    def _check_room(self) -> None:
        """Raise `Draining` or `Overloaded` if no run may begin here."""
        if self.draining:
            raise Draining
        self.reserve(0)

    def _begin(self, request: OpenRequest, run_id: str) -> LocalRun:
        run = self._make_run(
            id=run_id,
            owner=request.owner,
            fingerprint=request.fingerprint,
            listed=request.listed,
            request=request,
            max_bytes=self._settings.search_max_bytes,
            linger_s=self._settings.stream_linger_s,
            reserve=self.reserve,
            ending=self._ending,
            on_end=self._keep,
        )
        self._runs[run.id] = self._by_fingerprint[request.fingerprint] = run
        return run

    def _with_key(self, request: OpenRequest) -> Run | None:
        run = self._reusable(self._by_key.get((request.owner.name, request.key or "")))
        if run and run.fingerprint != request.fingerprint:
            raise IdempotencyMismatch(KEY_MISMATCH)
        return run

    def _equal(self, request: OpenRequest) -> Run | None:
        run = self._reusable(self._by_fingerprint.get(request.fingerprint))
        if run and run.ended:
            age_s = asyncio.get_running_loop().time() - run.log.grown_at
            return None if request.fresh or age_s >= self._settings.cache_ttl_s else run
        return run

    def _reusable(self, run: Run | None) -> Run | None:
        return self._runs.get(run.id) if run and run.reusable else None

    def _keep(self, run: LocalRun) -> None:
        """Keep an ended run for those that come back for it."""
        kept_s = self._settings.search_retention_s if run.kept else 0
        asyncio.get_running_loop().call_later(kept_s, self._forget, run.id)
        self.reserve(0, always=True)

    def _forget(self, run_id: str) -> None:
        # By its id: the timer of a run that made way must not keep its log in memory.
        if run := self._runs.pop(run_id, None):
            self.size_bytes -= run.log.size_bytes
