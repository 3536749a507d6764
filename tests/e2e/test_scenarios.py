"""Every scenario of the stand-in, asked in every way: the caller always learns what happened."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from simulator.catalogue import SCENARIOS
from tests.e2e.asking import WAYS, Answer, Way, ask
from tests.e2e.scenario_table import ANSWERED, BROKEN, REFRAMED, REFUSED
from tests.service import KEY, Running, running

COMMIT_S = 30
"""Longer than all pauses between tries, and shorter than the time-out of the first event."""
SETTINGS: dict[str, Any] = {
    "cache_ttl_s": 0,
    "stream_commit_s": COMMIT_S,
    # Room for the event of 3 MB and for little more, so that what is endless is soon over.
    "upstream_max_event_bytes": 3_100_000,
    "search_max_bytes": 4 * 3_100_000 + 2**20,
}


@pytest.fixture(scope="module", name="service")
async def open_service() -> AsyncGenerator[Running, None]:
    async with running(**SETTINGS) as service:
        await service.open_gate("open")
        yield service


def test_every_scenario_has_one_row() -> None:
    rows = [*ANSWERED, *REFUSED, *BROKEN]
    assert sorted(rows) == sorted(SCENARIOS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERED)
async def test_an_odd_but_good_answer_is_an_answer(name: str, way: Way, service: Running) -> None:
    row = ANSWERED[name]
    answer = await ask(service, way, f"[sim {name} {row.words}]", skips_s=row.skips_s)
    result = answer.result
    assert (answer.status, answer.calls) == (200, 1)
    assert (result["status"], result["outcome"]) == (row.status, row.outcome)
    assert tuple(result["warnings"]) == row.warnings
    assert bool(result["results"]) is (row.outcome == "matched")
    assert result["error"] is None
    if answer.events:
        assert answer.names[-1] == "search.completed"
        assert answer.names[-2].startswith("response.")
        assert "response.failed" not in answer.names


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
async def test_a_failure_before_the_first_event_is_reported(
    name: str, way: Way, service: Running
) -> None:
    row = REFUSED[name]
    answer = await ask(service, way, f"[sim {name}]", skips_s=row.skips_s)
    assert (answer.outcome, answer.calls) == ((row.code, row.retryable), row.calls), answer.problem
    assert bool(answer.waited_s) is (row.calls > 1)
    assert row.detail in answer.problem["detail"]
    assert answer.problem["status"] == row.status
    late = way == "POST /search/stream" and sum(row.skips_s) > COMMIT_S
    if way == "GET /search/stream" or late:
        relayed = ["response.failed"] if row.relayed else []
        assert answer.names == ["search.created", *relayed, "search.failed"]
    else:
        assert answer.status == row.status
    assert_nothing_found(answer)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_break_in_the_middle_is_reported_with_what_had_come(
    name: str, way: Way, service: Running
) -> None:
    row = BROKEN[name]
    answer = await ask(service, way, f"[sim {name} {row.words}]", skips_s=row.skips_s)
    assert (answer.outcome, answer.calls) == ((row.code, row.retryable), 1), answer.problem
    assert not answer.waited_s
    assert row.detail in answer.problem["detail"]
    assert answer.problem["status"] == row.status
    if way == "POST /search":
        assert answer.status == row.status
    else:
        assert answer.names[-1] == "search.failed"
        assert (answer.names[-2] == "response.failed") is row.relayed
        assert answer.relayed
    if row.partial:
        assert answer.result["warnings"] == ["partial"]
        assert answer.result["results"][0]["index"] == 1
        assert answer.result["outcome"] == "matched"
        assert answer.result["status"] == "failed"
    else:
        assert_nothing_found(answer)


def assert_nothing_found(answer: Answer) -> None:
    """Without results there is nothing to tell beside the failure."""
    if not answer.events:
        assert "result" not in answer.problem
        return
    assert (answer.result["results"], answer.result["warnings"]) == ([], [])


@pytest.mark.parametrize("name", REFRAMED)
async def test_framing_changes_no_byte_of_what_is_relayed(name: str, service: Running) -> None:
    plain = await ask(service, "POST /search/stream", "Look [sim normal seed=7]")
    answer = await ask(service, "POST /search/stream", f"Look [sim {name} seed=7]")
    assert answer.relayed == plain.relayed
    assert len(plain.relayed) > 20


async def test_data_on_several_lines_stays_on_several_lines(service: Running) -> None:
    plain = await ask(service, "POST /search/stream", "Look [sim normal seed=7]")
    answer = await ask(service, "POST /search/stream", "Look [sim multi_data_lines seed=7]")
    assert answer.relayed == [(name, f"{{\n{data[1:-1]}\n}}") for name, data in plain.relayed]


@pytest.mark.parametrize("name", ["echo_key", "echo_key_error"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_echoed_key_reaches_nobody(name: str, way: Way, service: Running) -> None:
    answer = await ask(service, way, f"[sim {name}]")
    assert "***" in str(answer)
    assert KEY not in str(answer)


@pytest.mark.parametrize("way", WAYS)
async def test_a_wait_that_the_upstream_asks_for_is_kept(way: Way, service: Running) -> None:
    answer = await ask(service, way, "[sim retry_after s=7]")
    assert answer.outcome == ("upstream_rate_limited", True)
    assert 13 < answer.waited_s < 15
    assert answer.problem["retry_after"] == 7
    if way != "GET /search/stream":
        assert answer.headers["retry-after"] == "7"


async def test_a_wait_beyond_the_time_for_retries_is_left_to_the_caller(service: Running) -> None:
    answer = await ask(service, "POST /search", "[sim retry_after s=21]")
    assert (answer.calls, answer.waited_s) == (1, 0)
    assert answer.problem["retry_after"] == 21


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["http_429", "http_503", "throttled_200", "throttled_tag"])
async def test_a_throttled_call_is_tried_again_and_then_answered(
    name: str, way: Way, service: Running
) -> None:
    answer = await ask(service, way, f"[sim {name} times=2 tag={name}-{way.replace(' ', '-')}]")
    assert (answer.status, answer.calls) == (200, 3)
    assert answer.outcome == ("completed", None)
    assert "response.failed" not in answer.names
    assert 0.7 < answer.waited_s < 1.6
