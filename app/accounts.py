"""What a search means for money, memory, ownership and logs, whichever face it came through."""

import logging
import time

from app.guards import Guards, Permit
from app.images.memory import MemoryReservation
from app.models import Client, Event, ImageSearch, SearchResult
from app.telemetry import Metrics
from app.upstream.answer import TERMINAL_EVENTS, TEXT_DELTA, Folding

logger = logging.getLogger("app.search")


class Books:
    """Adds an answer up while it comes, and acts on what its events mean."""

    __slots__ = ("_client", "_guards", "_memory", "_metrics", "answer", "created_at")

    def __init__(
        self, client: Client, *, guards: Guards, metrics: Metrics, memory: MemoryReservation
    ) -> None:
        self.answer = Folding()
        self.created_at = time.time()
        self._client = client
        self._guards = guards
        self._metrics = metrics
        self._memory = memory

    def note(self, permit: Permit, event: Event) -> ImageSearch | None:
        """Take one of the upstream's events in; the call of the tool that it ended, if it did."""
        if not permit.events:
            permit.note_event()
            self._memory.release()
            self._metrics.first_event_s.observe(time.time() - self.created_at)
        if event.type == TEXT_DELTA:
            return None
        known, ended = self.answer.response_id, event.type in TERMINAL_EVENTS
        found = self.answer.add(event)
        if found:
            permit.note_call()
        if ended:
            permit.settle(self.answer.usage)
        response_id = self.answer.response_id
        if response_id and (ended or not known):
            # This client alone may follow the answer up.
            self._guards.responses.claim(response_id, self._client.name)
        return found

    def release(self) -> None:
        """Give back the memory of what was not sent."""
        self._memory.release()


def account(
    final: SearchResult,
    *,
    client: Client,
    metrics: Metrics,
    elapsed_s: float,
    prompt: str | None = None,
) -> None:
    """Count an ended search, and log it, with its `prompt` where one is handed in."""
    usage, seen = final.answer.usage, len(final.answer.searches)
    metrics.searches.labels(final.status, final.answer.outcome or "unknown").inc()
    metrics.search_s.observe(elapsed_s)
    # As they are charged: by the upstream's count, or where that is missing by what came.
    metrics.tool_calls.inc((usage and usage.image_search_calls) or seen)
    if usage:
        metrics.tokens.labels("input").inc(usage.input_tokens)
        metrics.tokens.labels("output").inc(usage.output_tokens)
    fields = {
        "search_id": final.id,
        "client": client.name,
        "status": final.status,
        "outcome": final.answer.outcome,
        "code": final.error and final.error["code"],
        "results": len(final.answer.results),
        "cost_cny": final.cost and str(final.cost.total),
        "duration_s": round(elapsed_s, 3),
    }
    if prompt is not None:
        fields["prompt"] = prompt
    logger.info("search ended", extra={"fields": fields})
