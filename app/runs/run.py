"""One search under way, or ended and kept for a while: a log and the one task that writes it.

A run outlives the connection that began it. Readers hold it; when the last has left, it goes on
for a while for one that may come back, then stops. How it ends:

- the work is done: the work's last words close the log;
- the work raises: the same, telling the error;
- `stop()`: cancelled by its callers, or failed with the cause that was handed in.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from app.errors import Internal, ServiceError, UpstreamProtocol, problem
from app.models import Client, Event, SearchResult, json_bytes
from app.runs.log import EVENT_OVERHEAD_BYTES, EventLog, kept_bytes
from app.runs.stage import Stage
from app.runs.work import Grow, Work
from app.silence import Silence
from app.telemetry import request_id

logger = logging.getLogger(__name__)

ID_BYTES = 16
"""128 random bits: for anonymous callers the id is the capability."""


TOO_LARGE = "The answer is larger than this service keeps of one search."


class Run:
    """One piece of work, its log and its readers."""

    __slots__ = (
        *("id", "owner", "fingerprint", "listed", "kept", "resumable", "keys", "joins", "log"),
        *("error", "cancelled", "_work", "_task", "_grow", "_on_ended", "_loop", "_readers"),
        *("_admitted", "_opened", "_ended", "_let_in", "_relayed", "_stopping", "_stopped_by"),
        *("_linger_s", "_max_bytes", "_started_at", "_linger", "_silence", "__weakref__"),
    )

    def __init__(
        self,
        owner: Client,
        fingerprint: str,
        *,
        progress_s: float,
        linger_s: float,
        max_bytes: int,
        listed: bool = True,
        kept: bool = True,
    ) -> None:
        self.id = f"srch_{secrets.token_hex(ID_BYTES)}"
        self.owner = owner
        self.fingerprint = fingerprint
        self.listed = listed
        self.kept = kept
        self.log = EventLog()
        self.error: ServiceError | None = None
        self.cancelled = False
        self.resumable = False
        self.keys: dict[str, None] = {}
        self.joins = 0
        self._linger_s = linger_s
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._readers = 0
        self._let_in = False
        self._relayed = False
        self._stopping = False
        self._admitted = Stage()
        self._opened = Stage()
        self._ended = Stage()
        self._stopped_by: ServiceError | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._silence = Silence(progress_s if listed else 0, self._on_silence)

    def start(
        self,
        work: Work,
        *,
        grow: Grow,
        ended: Callable[["Run", int], None],
    ) -> None:
        """Begin the work in a task of its own.

        `grow` is told the bytes of every event before it is kept;
        `ended` is called once, after the last event, with the bytes of the last words, which are
        always kept.
        """
        self._work = work
        self._grow = grow
        self._on_ended = ended
        self._started_at = self._loop.time()
        self._task = asyncio.create_task(self._live(), name=self.id)
        # Not a `finally` in the task: one that is cancelled before its first step never gets there.
        self._task.add_done_callback(self._end)

    @property
    def ended(self) -> bool:
        """Whether the last event stands in the log."""
        return self.log.closed

    @property
    def reusable(self) -> bool:
        """Whether an equal request may have this run's answer."""
        return self.error is None and not self._stopping

    @property
    def shared(self) -> bool:
        """Whether it is read by more than one of the requests that asked for it.

        Who came back after a break may still hold the connection that broke: that is one request.
        """
        return self._readers > 1 and self.joins > 1

    @property
    def refused(self) -> bool:
        """Whether it was turned away before it began."""
        return self.error is not None and not self._let_in

    @property
    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._work.result(self.log.events)

    async def admitted(self) -> None:
        """Wait until the work has been let in.

        Raises:
            ServiceError: It was refused.
        """
        await self._admitted.wait()
        if self.refused and self.error:
            raise self.error

    async def opened(self, within_s: float) -> None:
        """Wait for the first event of the work's source, at most `within_s` seconds.

        Raises:
            ServiceError: It failed before that event came, and within that time.
        """
        if not await self._opened.wait(within_s):
            await self.admitted()
        elif self.error and not self._relayed:
            raise self.error

    async def finished(self) -> None:
        """Wait until the last event stands in the log."""
        await self._ended.wait()

    def read(self, *, resumable: bool) -> "Reader":
        """Take hold of the run for one reader; `resumable` if it could come back after a break."""
        self._readers += 1
        self.resumable = self.resumable or resumable
        self._disarm()
        return Reader(self)

    def leave(self) -> None:
        """Let one reader go; the last one's going stops the run, at once or after the linger."""
        self._readers -= 1
        if self._readers or self.ended:
            return
        if not self.resumable:
            self.stop()
            return
        self._linger = self._loop.call_later(self._linger_s, self.stop)

    def stop(self, cause: ServiceError | None = None) -> None:
        """End the work: as failed with `cause`, or as cancelled. Nothing if it has ended."""
        if not self._stopping and not self._task.done():
            self._stopping = True
            self._stopped_by = cause
            self._task.cancel()

    async def _live(self) -> None:
        try:
            await self._work.run(self._append)
        except ServiceError as exc:
            self.error = exc
        except Exception:
            logger.exception("search broke")
            self.error = Internal("Something went wrong here; it was logged.")

    def _append(self, events: Sequence[Event]) -> None:
        log, most = self.log, self._max_bytes
        try:
            for event in events:
                # As `kept_bytes`, without a call for every token.
                size_bytes = len(event[1]) + EVENT_OVERHEAD_BYTES
                if 0 < most < log.size_bytes + size_bytes:
                    raise UpstreamProtocol(TOO_LARGE)
                # The first says that the work was let in: refused, it would cost what it never did.
                self._grow(size_bytes, bounded=self._let_in)
                log.append(event, size_bytes)
                if not self._relayed:
                    self._note_stage(event)
        finally:
            self._silence.heard_at = self._loop.time()
            log.tell()

    def _note_stage(self, event: Event) -> None:
        if not self._let_in:
            self._let_in = True
            self._admitted.reach()
            self._silence.watch()
        if not event.own:
            self._relayed = True
            self._opened.reach()

    def _on_silence(self) -> None:
        """Speak when nothing else does."""
        event = self._work.progress(self.log.events, self._loop.time() - self._started_at)
        try:
            self._append([event])
        except ServiceError as exc:
            self._silence.stop()
            self.stop(exc)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._disarm()
        self._silence.stop()
        if task.cancelled():
            self.error = self._stopped_by
            self.cancelled = self.error is None
        before_bytes = self.log.size_bytes
        for event in self._last_words():
            self.log.append(event, kept_bytes(event))
        self.log.close()
        self._on_ended(self, self.log.size_bytes - before_bytes)
        for stage in (self._admitted, self._opened, self._ended):
            stage.reach()

    def _last_words(self) -> list[Event]:
        try:
            return self._work.conclude(self.log.events, error=self.error, cancelled=self.cancelled)
        except Exception:
            # Whatever is wrong with them: no reader is left without an end.
            logger.exception("the last words failed")
            self.error = Internal("Something went wrong here; it was logged.")
            told = problem(self.error, request_id=request_id.get(), search_id=self.id)
            return [Event("search.failed", json_bytes({"error": told}))]

    def _disarm(self) -> None:
        if self._linger:
            self._linger.cancel()
            self._linger = None


class Reader:
    """One request's hold on a run. Close it whichever way the request ends."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._held = True

    def close(self) -> None:
        """Let go; more than once does no harm."""
        if self._held:
            self._held = False
            self.run.leave()
