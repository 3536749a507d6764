"""What a search and a call of `/v1` share: admission, the sum of the answer, its cost, its record.

Not here: HTTP (`api`), the log and its readers (`runs`), the upstream's wire (`upstream`), prices
and budgets (`guards`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app import telemetry
from app.errors import OwnError, ServiceError
from app.guards import Guards, Permit
from app.images.memory import MemoryReservation
from app.models import Client, Event, Phase, ResponsesRequest, Status, UpstreamCall
from app.results import Cost, Problem, SearchProgress, SearchResult, SearchResults, Usage
from app.runs import EventLog, Opened, OpenRequest, Runs
from app.settings import Settings
from app.tracing import CallSpan, Tracing
from app.upstream.answer import DELTA, TERMINAL_EVENTS, AnswerBuilder, seen_so_far
from app.upstream.client import UpstreamClient

logger = logging.getLogger("app.search")


@dataclass(frozen=True)
class UseCase:
    """What a use case works with."""

    settings: Settings
    guards: Guards
    upstream: UpstreamClient
    runs: Runs
    metrics: telemetry.Metrics
    tracing: Tracing

    async def open_run(self, wanted: OpenRequest) -> Opened:
        """Return a reader, as `Runs.open` does, and count where its run came from."""
        opened = await self.runs.open(wanted)
        self.metrics.cache.labels(opened.cache).inc()
        return opened


@dataclass(eq=False)
class AnswerWork:
    """The work of one run: an answer of the upstream, from the admission to its record.

    It keeps the request's part of `memory` until the first event, or the end. A use case says what
    is asked (`ask`), what comes first (`beginning`) and what comes last (`conclude`).
    """

    case: UseCase
    client: Client
    request: ResponsesRequest
    memory: MemoryReservation
    run_id: str
    log: EventLog

    def __post_init__(self) -> None:
        self.memory = self.memory.derive(sum(map(len, self.request.payload)))
        self.model = self.request.model
        self.call = UpstreamCall()
        self.created_at = int(time.time())
        self.phase: Phase = "waiting"
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._clock()
        self._estimate = self.case.guards.estimate(self.request)
        self.answer = AnswerBuilder()
        self._permit: Permit | None = None
        self._recorded = False

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started_at

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Be admitted, then pass the answer on; its cost is settled behind it."""
        telemetry.search_id.set(self.run_id)
        async with self.case.guards.admit(self.client, self._estimate, self.run_id) as permit:
            self._permit = permit
            telemetry.lap("queue")
            self._span = CallSpan(self.case.tracing.tracer, self.request, self.call)
            error: ServiceError | None = None
            opened = False
            try:
                yield self.beginning()
                async with aclosing(self.ask()) as batches:
                    async for batch in batches:
                        if not opened:
                            opened = True
                            self.memory.release()
                            self._span.first_event()
                            telemetry.lap("upstream")
                            self.case.metrics.first_event_s.observe(self.elapsed_s)
                        events: list[Event] = []
                        for event in batch:
                            events.append(event)
                            if not event.type.endswith(DELTA):  # Nine of ten are.
                                events += self.events_after(event)
                        yield events
            except ServiceError as exc:
                error = exc
                raise
            finally:
                telemetry.lap("upstream")
                permit.cost = self._cost(error)

    def beginning(self) -> list[Event]:
        """The events that come before the upstream's."""
        return []

    def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        raise NotImplementedError

    def events_after(self, event: Event) -> Iterable[Event]:
        """Take in an event of the upstream that is no delta; our own events that follow it."""
        raise NotImplementedError

    def add(self, event: Event) -> SearchResults | None:
        """Take in an event; what a call of the tool found, where it ended one."""
        answer, known = self.answer, self.answer.response_id
        found = answer.add(event)
        self._span.add(event, found)
        if answer.response_id and (not known or event.type in TERMINAL_EVENTS):
            usage = answer.usage or self._estimate.usage
            owners = self.case.guards.responses
            owners.claim(answer.response_id, self.client.name, total_tokens=usage.total_tokens)
        return found

    def progress(self) -> Event:
        return SearchProgress(phase=self.phase, elapsed_s=round(self.elapsed_s, 1)).as_event()

    def finish(self, error: ServiceError | None, *, cancelled: bool) -> SearchResult:
        """Make the final result, count it and log it."""
        self.memory.release()
        self.request.payload.clear()
        if isinstance(error, OwnError) and self.call.written:
            error.billed = "maybe"
        status: Status = "cancelled" if cancelled else "failed" if error else "completed"
        final = self._result(status, error)
        if self._permit and not self._recorded:
            self._recorded = True
            self._record(final)
        return final

    def forget(self) -> None:
        """Drop what has come, where it cannot be shown; what it cost is settled already."""
        self.answer, self.log = AnswerBuilder(), EventLog()

    def _cost(self, error: ServiceError | None) -> Cost | None:
        """What is charged: the usage that was reported, else what may have been billed."""
        if error and error.upstream_event:
            self.answer.add(Event(*error.upstream_event))
        prices, usage = self.case.guards.prices, self.answer.usage
        billed = error.billed if error else "maybe" if self.call.written else "no"
        if usage is not None or billed == "no":
            return prices.cost_of(self.model, usage or Usage())
        calls, shown_chars = seen_so_far(self.log.events)
        calls = max(calls, len(self.answer.calls))
        return prices.unreported(self._estimate, calls=calls, shown_chars=shown_chars)

    def _result(self, status: Status, error: ServiceError | None) -> SearchResult:
        request_id, run_id = telemetry.request_id.get(), self.run_id
        problem = Problem.of(error, request_id=request_id, search_id=run_id) if error else None
        return self.answer.result(
            self.log.events,
            run_id=run_id,
            status=status,
            model=self.model,
            created_at=self.created_at,
            error=problem,
            cost=self._permit.cost if self._permit else None,
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
            "client": self.client.name,
            "status": final.status,
            "outcome": final.outcome,
            "code": final.error and final.error.code,
            "results": len(final.results),
            "cost_cny": final.cost and str(final.cost.total),
            "duration_s": round(self.elapsed_s, 3),
        }
        if self.case.settings.log_prompts and self.request.prompt is not None:
            fields["prompt"] = self.request.prompt
        logger.info("search ended", extra={"fields": fields})
