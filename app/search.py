"""The use case: one search, from its admission to the last event of its log.

Not here: HTTP (`api`), who joins whose search (`runs`), the upstream's wire (`upstream`), prices
and budgets (`guards`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app import results, telemetry
from app.errors import OwnError, ServiceError
from app.guards.money import Estimate, Prices, cny
from app.images.memory import MemoryReservation
from app.models import Client, Event, Permit, Phase, ResponsesRequest, Status, UpstreamCall, units
from app.results import Cost, SearchResult, SearchResults, Usage
from app.runs.run import EventLog, Run
from app.service import Service
from app.tracing import CallSpan
from app.upstream.answer import DELTA, TERMINAL_EVENTS, AnswerBuilder, made_end, phase

logger = logging.getLogger("app.search")


@dataclass(eq=False)
class Search:
    """The work of one run: our events beside the upstream's."""

    service: Service
    client: Client
    request: ResponsesRequest
    memory: MemoryReservation  # The request's part is kept until the first event, or the end.
    run_id: str
    log: EventLog

    def __post_init__(self) -> None:
        self.memory = self.memory.derive(sum(map(len, self.request.payload)))
        self.call = UpstreamCall()
        self.answer = AnswerBuilder()
        self.phase: Phase = "waiting"
        self.created_at = int(time.time())
        self._started_at = asyncio.get_running_loop().time()
        guards = self.service.guards
        # A follow-up sends the answer that it follows up again.
        tokens = guards.responses.total_tokens(self.request.previous_response_id)
        self._estimate = guards.prices.estimate(self.request, earlier_tokens=tokens)
        self.permit: Permit | None = None
        self.cost: Cost | None = None
        self._recorded = False

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Wait for admission, relay the answer, then settle its cost."""
        telemetry.search_id.set(self.run_id)
        async with self.service.guards.admit(self.client, self._estimate, self.run_id) as permit:
            self.permit = permit
            telemetry.lap("queue")
            self._span = CallSpan(self.service.tracing.tracer, self.request, self.call)
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
                            self.service.metrics.first_event_s.observe(self.elapsed_s)
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
                self.cost = self._cost_of(error)
                permit.spent = units(self.cost.total) if self.cost else 0

    def beginning(self) -> list[Event]:
        """The events that come before the upstream's."""
        model, created_at = self.request.model, self.created_at
        created = results.SearchCreated(search_id=self.run_id, model=model, created_at=created_at)
        return [created.as_event()]

    def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        return self.service.upstream.stream(self.request.payload, self.call)

    def events_after(self, event: Event) -> Iterable[Event]:
        """Take in an event that is no delta: what a call of the tool found, and a new phase."""
        if found := self.add(event):
            yield found.as_event()
        began = phase(event)
        if began and began != self.phase:
            self.phase = began
            if self.service.settings.stream_progress_s:
                yield self.progress()

    def progress(self) -> Event:
        elapsed_s = round(self.elapsed_s, 1)
        return results.SearchProgress(phase=self.phase, elapsed_s=elapsed_s).as_event()

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's own failure event, if it sent one, and the terminal event."""
        result = self.finish(error, cancelled=cancelled)
        if error:
            relayed = [Event(*error.upstream_event)] if error.upstream_event else []
            return [*relayed, _failed(result)]
        last = results.SearchCancelled if cancelled else results.SearchCompleted
        return [last.model_construct(**dict(result)).as_event()]

    def forget(self) -> None:
        """Drop what has come after the first event; what it cost is settled already."""
        self.answer, self.log = AnswerBuilder(), EventLog(self.log.events[:1])

    @property
    def elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    def add(self, event: Event) -> SearchResults | None:
        """Take in an event; what a call of the tool found, where it ended one."""
        answer, known = self.answer, self.answer.response_id
        found = answer.add(event)
        self._span.add(event, found)
        if answer.response_id and (not known or event.type in TERMINAL_EVENTS):
            usage = answer.usage or self._estimate.usage
            owners = self.service.guards.responses
            owners.claim(answer.response_id, self.client.name, total_tokens=usage.total_tokens)
        return found

    def finish(self, error: ServiceError | None, *, cancelled: bool) -> SearchResult:
        """Make the final result, count it and log it."""
        self.memory.release()
        self.request.payload.clear()
        if isinstance(error, OwnError) and self.call.written:
            error.billed = "maybe"
        status: Status = "cancelled" if cancelled else "failed" if error else "completed"
        final = self.answer.result(
            self.log.events, status, run_id=self.run_id, error=error, cost=self.cost
        )
        if self.permit and not self._recorded:
            self._recorded = True
            self._record(final, float(cny(self.permit.spent)))
        return final

    def _cost_of(self, error: ServiceError | None) -> Cost | None:
        """What is charged: the usage that was reported, else what may have been billed."""
        if error and error.upstream_event:
            self.answer.add(Event(*error.upstream_event))
        elif error and error.usage:
            self.answer.read_usage(error.usage)
        prices, usage = self.service.guards.prices, self.answer.usage
        billed = error.billed if error else "maybe" if self.call.written else "no"
        if usage is not None or billed == "no":
            return prices.cost_of(self.request.model, usage or Usage())
        return prices.unreported(self._estimate, self.answer.read_deltas(self.log.events))

    def _record(self, final: SearchResult, spent_cny: float) -> None:
        metrics, usage = self.service.metrics, final.usage
        metrics.spend_cny.labels(self.client.name).inc(spent_cny)
        self._span.end(final)
        outcome = final.error.code if final.error else final.outcome or "unknown"
        metrics.searches.labels(final.status, outcome).inc()
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
        if self.service.settings.log_prompts and self.request.prompt is not None:
            fields["prompt"] = self.request.prompt
        logger.info("search ended", extra={"fields": fields})


def conclude_lost(
    prices: Prices,
    run_id: str,
    events: Sequence[Event],
    error: ServiceError,
    *,
    listed: bool,
    estimate: str = "",
) -> tuple[list[Event], int]:
    """How a run ends whose replica does not end it: the last events, and what it has cost.

    That is 0 where nothing was estimated or had begun, else as if the upstream had it all.
    """
    answer, cost = AnswerBuilder(events), None
    if events and estimate:
        reserved = Estimate.model_validate_json(estimate)
        cost = prices.unreported(reserved, answer.read_deltas(events))
    if listed:
        last = [_failed(answer.result(events, "failed", run_id=run_id, error=error))]
    else:
        last = [made_end(events, error, id=run_id)] if events else []
    return last, units(cost.total) if cost else 0


def result_of(run: Run) -> SearchResult:
    """What a search has found so far, or its final state."""
    events = run.log.events.copy()  # It may grow meanwhile: this may run in a thread.
    last = events[-1] if events else Event("", b"")
    match last.type:
        case "search.completed" | "search.cancelled":
            return SearchResult.model_validate_json(last.data)
        case "search.failed":
            return results.SearchFailed.model_validate_json(last.data).result
    return AnswerBuilder(events).result(events, "in_progress", run_id=run.id)


def _failed(result: SearchResult) -> Event:
    return results.SearchFailed.model_construct(error=result.error, result=result).as_event()
