"""Every scenario of the stand-in, asked in every way: the caller always learns what happened."""

from collections.abc import AsyncGenerator

import pytest

from simulator.catalogue import SCENARIOS
from tests.e2e.asking import WAYS, Way, ask
from tests.e2e.scenario_table import ANSWERED, BROKEN, REFRAMED, REFUSED
from tests.service import KEY, Running, running

COMMIT_S = 30
"""Longer than all pauses between tries, and shorter than the time-out of the first event."""


@pytest.fixture(scope="module", name="service")
async def open_service() -> AsyncGenerator[Running, None]:
    async with running(
        cache_ttl_s=0,
        stream_commit_s=COMMIT_S,
        # Room for the large event and for little more, so that what is endless is soon over.
        upstream_max_event_bytes=400_000,
        search_max_bytes=4 * 400_000 + 2**20,
    ) as service:
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
    assert KEY not in str(answer)
    assert ("***" in str(answer)) is (name == "echo_key")
    if answer.events:
        assert answer.names[-1] == "search.completed"
        assert answer.names[-2].startswith("response.")
        assert "response.failed" not in answer.names


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED | BROKEN)
async def test_a_failure_is_reported_with_what_had_come(
    name: str, way: Way, service: Running
) -> None:
    row = (REFUSED | BROKEN)[name]
    answer = await ask(service, way, f"[sim {name} {row.words}]", skips_s=row.skips_s)
    assert (answer.outcome, answer.calls) == ((row.code, row.retryable), row.calls), answer.problem
    assert bool(answer.waited_s) is (row.calls > 1)
    assert row.detail in answer.problem["detail"]
    assert answer.problem["status"] == row.status
    assert KEY not in str(answer)
    assert ("***" in str(answer)) is (name == "echo_key_error")
    late = name in BROKEN or sum(row.skips_s) > COMMIT_S
    if way == "GET /search/stream" or (way == "POST /search/stream" and late):
        assert answer.names[-1] == "search.failed"
        assert (answer.names[-2] == "response.failed") is row.relayed
        assert bool(answer.relayed) is (row.relayed or name in BROKEN)
    else:
        assert answer.status == row.status
    if row.partial:
        assert answer.result["warnings"] == ["partial"]
        assert answer.result["results"][0]["index"] == 1
        assert (answer.result["outcome"], answer.result["status"]) == ("matched", "failed")
    elif answer.events:
        assert (answer.result["results"], answer.result["warnings"]) == ([], [])
    else:
        assert "result" not in answer.problem


@pytest.mark.parametrize("name", [*REFRAMED, "multi_data_lines"])
async def test_framing_changes_no_byte_of_what_is_relayed(name: str, service: Running) -> None:
    plain = await ask(service, "POST /search/stream", "Look [sim normal seed=7]")
    answer = await ask(service, "POST /search/stream", f"Look [sim {name} seed=7]")
    relayed = plain.relayed
    if name == "multi_data_lines":
        relayed = [(event, f"{{\n{data[1:-1]}\n}}") for event, data in relayed]
    assert answer.relayed == relayed
    assert len(relayed) > 20


@pytest.mark.parametrize("way", WAYS)
async def test_a_wait_that_the_upstream_asks_for_is_kept(way: Way, service: Running) -> None:
    answer = await ask(service, way, "[sim retry_after s=7]")
    assert answer.outcome == ("upstream_rate_limited", True)
    assert 13 < answer.waited_s < 15
    assert answer.problem["retry_after"] == 7
    if way != "GET /search/stream":
        assert answer.headers["retry-after"] == "7"
