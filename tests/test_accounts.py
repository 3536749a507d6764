"""What an operator finds of a search that has ended."""

import logging
from decimal import Decimal

import pytest

from app.accounts import account
from app.models import Answer, Client, Cost, ImageSearch, SearchResult, Usage
from app.telemetry import Metrics

COST = Cost(tokens=Decimal("0.006954"), tools=Decimal("0.048"))


@pytest.mark.parametrize(("cost", "told"), [(COST, "0.054954"), (None, None)])
def test_an_ended_search_is_logged_with_its_client_and_exact_cost(
    caplog: pytest.LogCaptureFixture, cost: Cost | None, told: str | None
) -> None:
    caplog.set_level(logging.INFO, "app.search")
    answer = Answer(status="completed", usage=Usage(2753, 181, 2934, 1))
    final = SearchResult("srch_1", "completed", "m", answer, created_at=0, cost=cost)
    metrics = Metrics()
    account(final, client=Client("shop", "key:shop"), metrics=metrics, elapsed_s=4.25)
    (line,) = (vars(record)["fields"] for record in caplog.records)
    assert line == {
        "search_id": "srch_1",
        "client": "shop",
        "status": "completed",
        "outcome": "tool_skipped",
        "code": None,
        "results": 0,
        "cost_cny": told,
        "duration_s": 4.25,
    }
    sample = metrics.registry.get_sample_value
    assert sample("imagesearch_tokens_total", {"direction": "output"}) == 181
    assert sample("imagesearch_tool_calls_total") == 1


SEEN = (ImageSearch(0, (0, 0, 1000, 1000), ()),) * 2


@pytest.mark.parametrize(
    ("usage", "counted"),
    [(None, 2), (Usage(9, 9, 18), 2), (Usage(9, 9, 18, image_search_calls=3), 3)],
    ids=["broken off", "no count", "counted"],
)
def test_calls_of_the_tool_are_counted_by_the_upstream_or_else_as_they_came(
    usage: Usage | None, counted: int
) -> None:
    answer = Answer(searches=SEEN, usage=usage)
    final = SearchResult("srch_1", "failed", "m", answer, created_at=0)
    metrics = Metrics()
    account(final, client=Client("shop", "key:shop"), metrics=metrics, elapsed_s=1)
    assert metrics.registry.get_sample_value("imagesearch_tool_calls_total") == counted
