"""What is counted and logged of a search that has ended, whichever face it came through."""

import logging

from app.models import Client, SearchResult
from app.telemetry import Metrics

logger = logging.getLogger("app.search")


def account(
    final: SearchResult,
    *,
    client: Client,
    metrics: Metrics,
    elapsed_s: float,
    prompt: str | None = None,
) -> None:
    """Count an ended search, and log it, with its `prompt` where one is handed in."""
    usage = final.answer.usage
    metrics.searches.labels(final.status, final.answer.outcome or "unknown").inc()
    metrics.search_s.observe(elapsed_s)
    if usage:
        metrics.tool_calls.inc(usage.image_search_calls)
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
