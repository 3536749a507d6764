"""The use case: one search, from a client's request to the last event of its log.

Every endpoint comes through `Searches.open`. What a search does stands in `SearchWork.run`:
be admitted, call the upstream, pass its events on, add our own beside them. Not here: HTTP
(`api`), the log and its readers (`runs`), the upstream's wire (`upstream`), money (`guards`).
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from app import telemetry
from app.accounts import Books, account
from app.errors import ServiceError, problem
from app.guards import Estimate, Guards, Permit
from app.images.memory import MemoryReservation
from app.models import (
    Answer,
    Client,
    Emit,
    Event,
    SearchResult,
    SearchSpec,
    Status,
    json_bytes,
)
from app.runs import Opened, Runs
from app.upstream.answer import phase
from app.upstream.client import Upstream
from app.upstream.mentions import mentions_unlisted_url
from app.upstream.payload import build_payload


class Searches:
    """Opens searches: joins the one that answers the request already, or starts one."""

    def __init__(
        self,
        *,
        guards: Guards,
        upstream: Upstream,
        runs: Runs,
        metrics: telemetry.Metrics,
        store: bool,
        log_prompts: bool,
    ) -> None:
        self.guards = guards
        self.upstream = upstream
        self.runs = runs
        self.metrics = metrics
        self.store = store
        self.log_prompts = log_prompts

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

        `memory` is what the caller holds for the images; a new search holds on to their part of it.
        """
        estimate = self.guards.estimate(spec)
        opened = self.runs.open(
            client,
            spec.fingerprint(client),
            lambda run_id: SearchWork(
                run_id,
                client,
                spec,
                estimate=estimate,
                memory=memory.transfer(spec.size_bytes),
                searches=self,
            ),
            key=key,
            fresh=fresh,
            resumable=resumable,
        )
        self.metrics.cache.labels(opened.cache).inc()
        return opened


class SearchWork:
    """What a run of a search does, and how it speaks of it."""

    __slots__ = (
        *("_id", "_client", "_model", "_prompt", "_unsent", "_estimate", "_searches"),
        *("_permit", "_books", "_so_far", "_final"),
    )

    def __init__(
        self,
        run_id: str,
        client: Client,
        spec: SearchSpec,
        *,
        estimate: Estimate,
        memory: MemoryReservation,
        searches: Searches,
    ) -> None:
        self._id = run_id
        self._client = client
        self._model = spec.model
        self._prompt = spec.prompt if searches.log_prompts else None
        self._unsent = [spec]
        self._estimate = estimate
        self._searches = searches
        self._permit: Permit | None = None
        self._books = Books(client, guards=searches.guards, metrics=searches.metrics, memory=memory)
        self._so_far: tuple[int, SearchResult] | None = None
        self._final: SearchResult | None = None

    async def run(self, emit: Emit) -> None:
        """Be admitted, call the upstream, and add to its events what the caller wants read."""
        telemetry.search_id.set(self._id)
        async with self._searches.guards.admit(self._client, self._estimate) as permit:
            self._permit = permit
            emit([self._own("created", self._created())])
            relay = partial(self._relay, permit, emit)
            await self._searches.upstream.relay(self._payload(), relay)

    def _relay(self, permit: Permit, emit: Emit, events: Sequence[Event]) -> None:
        """Act on the upstream's events, and put what a search found in plain words behind it."""
        told: list[Event] = []
        for event in events:
            told.append(event)
            if found := self._books.note(permit, event):
                told.append(self._own("results", found.as_json()))
        emit(told)

    def progress(self, events: Sequence[Event], elapsed_s: float) -> Event:
        """Say what the search is at, while nothing else is heard of it."""
        return self._own("progress", {"phase": phase(events), "elapsed_s": round(elapsed_s, 1)})

    def conclude(
        self, events: Sequence[Event], *, error: ServiceError | None, cancelled: bool
    ) -> list[Event]:
        """End the log: the upstream's own word of its failure, if any, then the result."""
        self._books.release()
        answer = self._books.answer.answer(events)
        status: Status = "cancelled" if cancelled else answer.status or "completed"
        told: list[Event] = []
        failure = None
        if error:
            status = "failed"
            failure = problem(error, request_id=telemetry.request_id.get(), search_id=self._id)
            told = [Event(*error.told_by)] if error.told_by else []
        self._final = final = self._sum_up(answer, status, failure)
        if self._permit:
            account(
                final,
                client=self._client,
                metrics=self._searches.metrics,
                elapsed_s=time.time() - self._books.created_at,
                prompt=self._prompt,
            )
        if failure is None:
            name = "cancelled" if cancelled else "completed"
            return [*told, self._own(name, final.as_json())]
        return [*told, self._own("failed", {"error": failure, "result": final.as_json()})]

    def result(self, events: Sequence[Event]) -> SearchResult:
        """Sum up what has come so far, or how it ended; once for each length of the log."""
        if self._final:
            return self._final
        if self._so_far is None or self._so_far[0] != len(events):
            answer = self._books.answer.answer(events)
            self._so_far = len(events), self._sum_up(answer, "in_progress", None)
        return self._so_far[1]

    def _payload(self) -> list[bytes]:
        """Build the upstream's request, and let go of the images: a search outlives its upload."""
        return build_payload(self._unsent.pop(), store=self._searches.store)

    def _created(self) -> dict[str, Any]:
        return {
            "search_id": self._id,
            "model": self._model,
            "created_at": int(self._books.created_at),
        }

    def _sum_up(
        self, answer: Answer, status: Status, failure: dict[str, Any] | None
    ) -> SearchResult:
        warnings = []
        if mentions_unlisted_url(answer.text, answer.results):
            warnings.append("text_mentions_unlisted_url")
        if failure and answer.results:
            warnings.append("partial")
        return SearchResult(
            id=self._id,
            status=status,
            model=self._model,
            answer=answer,
            created_at=int(self._books.created_at),
            completed_at=None if status == "in_progress" else int(time.time()),
            cost=self._permit.cost if self._permit else None,
            warnings=tuple(warnings),
            error=failure,
        )

    @staticmethod
    def _own(name: str, data: dict[str, Any]) -> Event:
        return Event(f"search.{name}", json_bytes(data))
