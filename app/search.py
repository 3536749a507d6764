"""The use case: one search, from a client's request to the last event of its log.

Every endpoint comes through `Searches.open`; what a search does is `Search.events`: be admitted,
call the upstream, pass its events on, add ours beside them. Not here: HTTP (`api`), the log and
its readers (`runs`), the upstream's wire (`upstream`), money (`guards`, `usage`).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.errors import ServiceError
from app.images.memory import MemoryReservation
from app.models import Client, Event, Phase, SearchSpec
from app.results import (
    SearchCancelled,
    SearchCompleted,
    SearchCreated,
    SearchFailed,
    SearchProgress,
    SearchResult,
)
from app.runs import EventLog, Opened
from app.upstream.answer import phase
from app.upstream.payload import build_payload
from app.usage import UsageRecorder, UseCase


class Searches(UseCase):
    """Opens searches: joins the one that already answers the request, or starts one."""

    def open(
        self,
        client: Client,
        spec: SearchSpec,
        *,
        memory: MemoryReservation,
        key: str | None = None,
        fresh: bool = False,
        resumable: bool = True,
    ) -> Opened:
        """Return a reader of the search; see `Runs.open` for the arguments and what it raises.

        `memory` is what the caller holds for the images; a new search keeps their part of it.
        """

        def start(run_id: str, log: EventLog) -> Search:
            recorder = UsageRecorder(self, client, spec, run_id=run_id, log=log, memory=memory)
            return Search(self, spec, recorder)

        opened = self.runs.open(
            client,
            spec.fingerprint(client),
            start,
            key=key,
            fresh=fresh,
            resumable=resumable,
            progress_s=self.settings.stream_progress_s,
        )
        self.metrics.cache.labels(opened.cache).inc()
        return opened


class Search:
    """The work of one search's run."""

    def __init__(self, case: UseCase, spec: SearchSpec, recorder: UsageRecorder) -> None:
        self._unsent = [spec]
        self._recorder = recorder
        self._upstream = case.upstream
        self._store = case.settings.upstream_store
        self._shows_progress = bool(case.settings.stream_progress_s)
        self._phase: Phase = "waiting"

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Be admitted, call the upstream, and add our events to its own."""
        recorder = self._recorder
        async with recorder.admitted():
            yield [self._created()]
            # The images are let go of with the spec: a search outlives its upload.
            payload = build_payload(self._unsent.pop(), store=self._store)
            async with aclosing(self._upstream.stream(payload, recorder.call)) as batches:
                async for batch in batches:
                    yield self._with_ours(batch)

    def _with_ours(self, batch: Sequence[Event]) -> list[Event]:
        """The upstream's events, each with what its tool call found and the phase it begins."""
        events: list[Event] = []
        for event in batch:
            events.append(event)
            if found := self._recorder.add(event):
                events.append(found.as_event())
            began = phase(event)
            if began and began != self._phase:
                self._phase = began
                if self._shows_progress:
                    events.append(self.progress())
        return events

    def progress(self) -> Event:
        """What the model is doing."""
        elapsed_s = round(self._recorder.elapsed_s, 1)
        return SearchProgress(phase=self._phase, elapsed_s=elapsed_s).as_event()

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's own failure event, if it sent one, and the terminal event."""
        result = self._recorder.conclude(error, cancelled=cancelled)
        if cancelled:
            return [SearchCancelled(**dict(result)).as_event()]
        if error is None or result.error is None:
            return [SearchCompleted(**dict(result)).as_event()]
        relayed = [Event(*error.upstream_event)] if error.upstream_event else []
        return [*relayed, SearchFailed(error=result.error, result=result).as_event()]

    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._recorder.result()

    def _created(self) -> Event:
        recorder = self._recorder
        return SearchCreated(
            search_id=recorder.run_id, model=recorder.model, created_at=recorder.created_at
        ).as_event()
