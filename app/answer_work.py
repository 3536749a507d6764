"""What a search and a call of `/v1` share: admission, the sum of the answer, its cost, its record.

Not here: HTTP (`api`), the log and its readers (`runs`), the upstream's wire (`upstream`), prices
and budgets (`guards`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass
from typing import Generic, TypeVar

from app import telemetry
from app.errors import OwnError, ServiceError
from app.guards import Guards, Permit
from app.images.memory import MemoryReservation
from app.models import Client, Event, Phase, ResponsesRequest, SearchSpec, Status, UpstreamCall
from app.results import Problem, SearchProgress, SearchResult, SearchResults, SearchWarning
from app.runs import EventLog, Runs
from app.settings import Settings
from app.tracing import CallSpan
from app.upstream.answer import DELTA, TERMINAL_EVENTS, AnswerBuilder, seen_so_far
from app.upstream.client import UpstreamClient
from app.upstream.links import unlisted_links

logger = logging.getLogger("app.search")

Request = TypeVar("Request", bound=SearchSpec | ResponsesRequest)


@dataclass(frozen=True)
class UseCase:
    """What a use case works with."""

    settings: Settings
    _: KW_ONLY
    guards: Guards
    upstream: UpstreamClient
    runs: Runs
    metrics: telemetry.Metrics


class AnswerWork(Generic[Request]):
    """The work of one run: an answer of the upstream, from the admission to its record.

    It keeps the request's part of `memory` until the first event, or the end. A use case says what
    is asked (`ask`), what comes first (`beginning`) and what comes last (`conclude`).
    """

    def __init__(
        self,
        case: UseCase,
        client: Client,
        request: Request,
        run_id: str,
        log: EventLog,
        *,
        memory: MemoryReservation,
    ) -> None:
        self.case = case
        self.unsent: list[Request] = [request]
        """Popped when it is sent, so that its images are freed while the work goes on."""
        self.run_id, self.log_events = run_id, log.events
        self.model = request.model
        self.call = UpstreamCall()
        self.created_at = int(time.time())
        self.phase: Phase = "waiting"
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._clock()
        self._client = client
        self._memory = memory.derive(request.size_bytes)
        self._prompt = request.prompt if isinstance(request, SearchSpec) else None
        self._estimate = case.guards.estimate(request)
        self._answer = AnswerBuilder()
        self._permit: Permit | None = None
        self._opened = False
        self._final: SearchResult | None = None

    @property
    def response_id(self) -> str | None:
        """The upstream's id of the answer, once it is known."""
        return self._answer.response_id

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started_at

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Be admitted, then pass the answer on; its cost is settled behind it."""
        telemetry.search_id.set(self.run_id)
        async with self.case.guards.admit(self._client, self._estimate, self.run_id) as permit:
            self._permit = permit
            telemetry.lap("queue")
            self._span = CallSpan(self.unsent[0], self.call)
            error: ServiceError | None = None
            try:
                yield self.beginning()
                async with aclosing(self.ask()) as batches:
                    async for batch in batches:
                        if not self._opened:
                            self._note_opening()
                        yield self._relayed(batch)
            except ServiceError as exc:
                error = exc
                raise
            finally:
                self._note_ending(permit, error)

    def beginning(self) -> list[Event]:
        """The events that come before the upstream's."""
        return []

    def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        """The upstream's events as they come."""
        raise NotImplementedError

    def events_after(self, event: Event) -> Iterable[Event]:
        """Take in an event of the upstream that is no delta; our own events that follow it."""
        self.add(event)
        return ()

    def add(self, event: Event) -> SearchResults | None:
        """Take in an event; what a call of the tool found, where it ended one."""
        known = self._answer.response_id
        found = self._answer.add(event)
        self._span.add(event, found)
        if self._answer.response_id and (not known or event.type in TERMINAL_EVENTS):
            usage = self._answer.usage or self._estimate.usage
            self.case.guards.responses.claim(
                self._answer.response_id, self._client.name, total_tokens=usage.total_tokens
            )
        return found

    def progress(self) -> Event:
        """What the model is doing."""
        return SearchProgress(phase=self.phase, elapsed_s=round(self.elapsed_s, 1)).as_event()

    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._final or self._make_result("in_progress", None)

    def finish(self, error: ServiceError | None, *, cancelled: bool) -> SearchResult:
        """Make the final result, count it and log it."""
        self._memory.release()
        if isinstance(error, OwnError) and self.call.written:
            error.billed = "maybe"
        recorded = self._final is not None
        self._final = self._make_result("cancelled" if cancelled else "completed", error)
        if self._permit and not recorded:
            self._record(self._final)
        return self._final

    def forget(self) -> None:
        """Drop what has come, where it cannot be shown; what it cost is settled already."""
        self._answer, self.log_events = AnswerBuilder(), []

    def _relayed(self, batch: Sequence[Event]) -> list[Event]:
        """The events, with ours among them. Nine of ten are deltas, which are only passed on."""
        events: list[Event] = []
        for event in batch:
            events.append(event)
            if not event.type.endswith(DELTA):
                events += self.events_after(event)
        return events

    def _note_opening(self) -> None:
        self._opened = True
        self._memory.release()
        self._span.first_event()
        telemetry.lap("upstream")
        self.case.metrics.first_event_s.observe(self.elapsed_s)

    def _note_ending(self, permit: Permit, error: ServiceError | None) -> None:
        """Note what the settlement goes by."""
        telemetry.lap("upstream")
        if error and error.upstream_event:
            self._answer.add(Event(*error.upstream_event))
        permit.usage = self._answer.usage
        permit.calls = len(self._answer.answer().calls)
        permit.billed = error.billed if error else "maybe" if self.call.written else "no"
        if permit.usage is None and permit.billed == "maybe":
            calls, permit.shown_chars = seen_so_far(self.log_events)
            permit.calls = max(permit.calls, calls)

    def _make_result(self, status: Status, error: ServiceError | None) -> SearchResult:
        answer = self._answer.answer(self.log_events)
        if status == "completed":
            status = "failed" if error else answer.status or status
        warnings: list[SearchWarning] = []
        if unlisted_links(answer.text, answer.results):
            warnings.append("text_mentions_unlisted_url")
        if error and answer.results:
            warnings.append("partial")
        problem = None
        if error:
            request_id = telemetry.request_id.get()
            problem = Problem.of(error, request_id=request_id, search_id=self.run_id)
        return SearchResult(
            id=self.run_id,
            status=status,
            outcome=answer.outcome,
            model=answer.model or self.model,
            text=answer.text,
            results=answer.results,
            searches=answer.searches,
            usage=answer.usage,
            cost=self._permit.cost if self._permit else None,
            warnings=warnings,
            error=problem,
            upstream_response_id=answer.response_id,
            created_at=self.created_at,
            completed_at=None if status == "in_progress" else int(time.time()),
        )

    def _record(self, final: SearchResult) -> None:
        self._span.end(final)
        metrics, usage = self.case.metrics, final.usage
        metrics.searches.labels(final.status, final.outcome or "unknown").inc()
        metrics.search_s.observe(self.elapsed_s)
        # As it is charged: by the upstream's count or, where that is missing, by what was seen.
        metrics.tool_calls.inc(usage.image_search_calls if usage else len(final.searches))
        if usage:
            metrics.tokens.labels("input").inc(usage.input_tokens)
            metrics.tokens.labels("output").inc(usage.output_tokens)
        fields = {
            "search_id": final.id,
            "client": self._client.name,
            "status": final.status,
            "outcome": final.outcome,
            "code": final.error and final.error.code,
            "results": len(final.results),
            "cost_cny": final.cost and str(final.cost.total),
            "duration_s": round(self.elapsed_s, 3),
        }
        if self.case.settings.log_prompts and self._prompt is not None:
            fields["prompt"] = self._prompt
        logger.info("search ended", extra={"fields": fields})
