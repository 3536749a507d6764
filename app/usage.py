"""What a search and a call of `/v1` share: adding the answer up, settling its cost, its record."""

import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass

from app import telemetry
from app.errors import OwnError, ServiceError
from app.guards import Guards
from app.guards.admission import Permit
from app.images.memory import MemoryReservation
from app.models import Client, Event, ResponsesRequest, SearchSpec, Status, UpstreamCall
from app.results import Problem, SearchResult, SearchResults, SearchWarning
from app.runs import EventLog, Runs
from app.settings import Settings
from app.upstream.answer import TERMINAL_EVENTS, AnswerBuilder
from app.upstream.client import UpstreamClient
from app.upstream.links import unlisted_links

logger = logging.getLogger("app.search")

DELTA = ".delta"
"""How the types of events with a piece of output end."""


@dataclass(frozen=True)
class UseCase:
    """What a use case works with."""

    settings: Settings
    _: KW_ONLY
    guards: Guards
    upstream: UpstreamClient
    runs: Runs
    metrics: telemetry.Metrics


class UsageRecorder:
    """Follows one answer of the upstream, from the admission to its record.

    It keeps the request's part of `memory` until the first event, or the end.
    """

    def __init__(
        self,
        case: UseCase,
        client: Client,
        request: SearchSpec | ResponsesRequest,
        *,
        run_id: str,
        log: EventLog,
        memory: MemoryReservation,
    ) -> None:
        self.run_id = run_id
        self.log = log
        self.model = request.model
        self.call = UpstreamCall()
        self.created_at = int(time.time())
        self._started_at = time.monotonic()
        self._client = client
        self._guards = case.guards
        self._metrics = case.metrics
        self._memory = memory.transfer(request.size_bytes)
        self._prompt: str | None = None
        if case.settings.log_prompts and isinstance(request, SearchSpec):
            self._prompt = request.prompt
        followed_up = case.guards.responses.total_tokens(request.previous_response_id)
        self._estimate = case.guards.prices.estimate(
            model=request.model,
            images=request.image_count,
            input_tokens=request.input_chars + followed_up,
            max_output_tokens=request.max_output_tokens,
        )
        self._answer = AnswerBuilder()
        self._permit: Permit | None = None
        self._opened = False
        self._so_far: tuple[int, SearchResult] | None = None
        self._final: SearchResult | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Hold the admission while the upstream is called; the cost is settled behind it.

        Raises:
            ServiceError: As `Admission.admit`.
        """
        telemetry.search_id.set(self.run_id)
        async with self._guards.admission.admit(self._client, self._estimate) as permit:
            self._permit = permit
            error: ServiceError | None = None
            try:
                yield
            except ServiceError as exc:
                error = exc
                raise
            finally:
                self._note_ending(permit, error)

    def add(self, event: Event) -> SearchResults | None:
        """Take in an event of the upstream; what a call of the tool found, where it ended one."""
        if not self._opened:
            self._opened = True
            self._memory.release()
            self._metrics.first_event_s.observe(self.elapsed_s)
        known = self._answer.response_id
        found = self._answer.add(event)
        if self._answer.response_id and (not known or event.type in TERMINAL_EVENTS):
            self._claim(self._answer.response_id)
        return found

    def result(self) -> SearchResult:
        """What has come so far, or the final state; made once for each length of the log."""
        if self._final:
            return self._final
        n_events = len(self.log.events)
        if self._so_far is None or self._so_far[0] != n_events:
            self._so_far = n_events, self._make_result("in_progress", None)
        return self._so_far[1]

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> SearchResult:
        """Make the final result, count it and log it."""
        self._memory.release()
        if isinstance(error, OwnError) and self.call.written:
            error.billed = "maybe"
        self._final = final = self._make_result("cancelled" if cancelled else "completed", error)
        if self._permit:
            self._record(final)
        return final

    def _note_ending(self, permit: Permit, error: ServiceError | None) -> None:
        """Note what the settlement goes by."""
        if error and error.upstream_event:
            self._answer.add(Event(*error.upstream_event))
        if error and self._opened:
            error.billed = "maybe"
        permit.usage = self._answer.usage
        permit.calls = len(self._answer.answer().calls)
        permit.billed = error.billed if error else "maybe" if self.call.written else "no"
        if permit.usage is None and permit.billed == "maybe":
            most = self._estimate.usage.output_tokens
            permit.shown_chars = _shown_chars(self.log.events, at_most=most)

    def _claim(self, response_id: str) -> None:
        """Let this client, and no other, follow the answer up."""
        usage, reserved = self._answer.usage, self._estimate.usage
        tokens = usage.total_tokens if usage else reserved.total_tokens
        self._guards.responses.claim(response_id, self._client.name, total_tokens=tokens)

    def _make_result(self, status: Status, error: ServiceError | None) -> SearchResult:
        answer = self._answer.answer(self.log.events)
        if status == "completed":
            status = "failed" if error else answer.status or status
        problem = None
        if error:
            request_id = telemetry.request_id.get()
            problem = Problem.of(error, request_id=request_id, search_id=self.run_id)
        results = answer.results
        warnings: list[SearchWarning] = []
        if unlisted_links(answer.text, results):
            warnings.append("text_mentions_unlisted_url")
        if problem and results:
            warnings.append("partial")
        return SearchResult(
            id=self.run_id,
            status=status,
            outcome=answer.outcome,
            model=answer.model or self.model,
            text=answer.text,
            results=results,
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
        metrics, usage = self._metrics, final.usage
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
        if self._prompt is not None:
            fields["prompt"] = self._prompt
        logger.info("search ended", extra={"fields": fields})


def _shown_chars(events: Iterable[Event], *, at_most: int) -> int:
    """Characters of output that these events show; the count ends at `at_most`."""
    shown = 0
    for event in events:
        if event.type.endswith(DELTA):
            shown += len(json.loads(event.data).get("delta", ""))
            if shown >= at_most:
                break
    return shown
