"""What the log of a search says, also to a replica that did not do the search itself."""

from collections.abc import Sequence

from app import telemetry
from app.errors import ServiceError
from app.guards.money import Estimate, Prices
from app.models import Event, Status, units
from app.results import Problem, SearchFailed, SearchResult
from app.runs.run import Run
from app.upstream.answer import AnswerBuilder, made_end, seen_so_far
from app.upstream.lenient import as_count, as_text, parse_object


def result_of(run: Run) -> SearchResult:
    """What a search has found so far, or its final state."""
    last = run.log.events[-1] if run.log.events else Event("", b"")
    match last.type:
        case "search.completed" | "search.cancelled":
            return SearchResult.model_validate_json(last.data)
        case "search.failed":
            return SearchFailed.model_validate_json(last.data).result
    return _result(run.id, run.log.events, "in_progress", None)


class Replay:
    """Reads logs; `prices` tell what a lost search has cost."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    def end(
        self, run_id: str, events: Sequence[Event], error: ServiceError, *, listed: bool
    ) -> list[Event]:
        """The last events of a run that is ended here: a search's, or those of a call of `/v1`."""
        if not listed:
            return [made_end(events, error, id=run_id)] if events else []
        request_id = telemetry.request_id.get()
        problem = Problem.of(error, request_id=request_id, search_id=run_id)
        result = _result(run_id, events, "failed", problem)
        return [SearchFailed(error=problem, result=result).as_event()]

    def cost(self, events: Sequence[Event], estimate: str) -> int:
        """What a lost run has cost: 0 if it had not begun, else as if the upstream had it all."""
        if not events or not estimate:
            return 0
        reserved = Estimate.model_validate_json(estimate)
        calls, shown_chars = seen_so_far(events)
        cost = self._prices.unreported(reserved, calls=calls, shown_chars=shown_chars)
        return units(cost.total) if cost else 0


def _result(
    run_id: str, events: Sequence[Event], status: Status, error: Problem | None
) -> SearchResult:
    begun = parse_object(events[0].data) or {} if events else {}
    builder = AnswerBuilder()
    for event in events:
        builder.add(event)
    return builder.result(
        events,
        run_id=run_id,
        status=status,
        model=as_text(begun.get("model")),
        created_at=as_count(begun.get("created_at")),
        error=error,
    )
