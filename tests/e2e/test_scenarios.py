"""Every scenario of the stand-in, asked in every way: a caller always learns what happened."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from simulator.catalogue import SCENARIOS
from tests.e2e.asking import WAYS, Told, Way, ask
from tests.e2e.scenario_table import ANSWERED, BROKEN, REFRAMED, REFUSED, Broken, Refused
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
        assert service.simulator is not None
        await service.simulator.state.gate.open("open")
        yield service


def test_every_scenario_has_one_row() -> None:
    rows = [*ANSWERED, *REFUSED, *BROKEN]
    assert sorted(rows) == sorted(SCENARIOS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERED)
async def test_an_odd_but_good_answer_is_an_answer(name: str, way: Way, service: Running) -> None:
    row = ANSWERED[name]
    told = await ask(service, way, f"[sim {name} {row.words}]", skips_s=row.skips_s)
    result = told.result
    assert (told.status, told.calls) == (200, 1)
    assert (result["status"], result["outcome"]) == (row.status, row.outcome)
    assert tuple(result["warnings"]) == row.warnings
    assert bool(result["results"]) is (row.outcome == "matched")
    assert result["error"] is None
    if told.events:
        assert told.names[-1] == "search.completed"
        assert told.names[-2].startswith("response.")
        assert "response.failed" not in told.names


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
async def test_a_failure_before_the_first_event_is_told(
    name: str, way: Way, service: Running
) -> None:
    row = REFUSED[name]
    told = await ask(service, way, f"[sim {name}]", skips_s=row.skips_s)
    assert (told.verdict, told.calls) == ((row.code, row.retryable), row.calls), told.problem
    assert len(told.pauses_s) == row.calls - 1
    assert row.detail in told.problem["detail"]
    assert told.problem["status"] == row.status
    late = way == "POST /search/stream" and sum(row.skips_s) > COMMIT_S
    if way == "GET /search/stream" or late:
        relayed = ["response.failed"] if row.relayed else []
        heard = [one for one in told.names if one != "search.progress"]
        assert heard == ["search.created", *relayed, "search.failed"]
    else:
        assert told.status == row.status
    assert_nothing_found(told)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_break_in_the_middle_is_told_with_what_had_come(
    name: str, way: Way, service: Running
) -> None:
    row = BROKEN[name]
    told = await ask(service, way, f"[sim {name} {row.words}]", skips_s=row.skips_s)
    assert (told.verdict, told.calls) == ((row.code, row.retryable), 1), told.problem
    assert told.pauses_s == []
    assert row.detail in told.problem["detail"]
    assert told.problem["status"] == row.status
    if way == "POST /search":
        assert told.status == row.status
    else:
        assert told.names[-1] == "search.failed"
        assert (told.names[-2] == "response.failed") is row.relayed
        assert told.relayed
    if row.partial:
        assert told.result["warnings"] == ["partial"]
        assert told.result["results"][0]["index"] == 1
        assert told.result["outcome"] == "matched"
        assert told.result["status"] == "failed"
    else:
        assert_nothing_found(told)


def assert_nothing_found(told: Told) -> None:
    """Without results there is nothing to tell beside the failure."""
    if not told.events:
        assert "result" not in told.problem
        return
    assert (told.result["results"], told.result["warnings"]) == ([], [])


@pytest.mark.parametrize("name", REFRAMED)
async def test_framing_changes_no_byte_of_what_is_relayed(name: str, service: Running) -> None:
    plain = await ask(service, "POST /search/stream", "Look [sim normal seed=7]")
    told = await ask(service, "POST /search/stream", f"Look [sim {name} seed=7]")
    assert told.relayed == plain.relayed
    assert len(plain.relayed) > 20


async def test_data_on_several_lines_stays_on_several_lines(service: Running) -> None:
    plain = await ask(service, "POST /search/stream", "Look [sim normal seed=7]")
    told = await ask(service, "POST /search/stream", "Look [sim multi_data_lines seed=7]")
    assert told.relayed == [(name, f"{{\n{data[1:-1]}\n}}") for name, data in plain.relayed]


@pytest.mark.parametrize("name", ["echo_key", "echo_key_error"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_echoed_key_reaches_nobody(name: str, way: Way, service: Running) -> None:
    told = await ask(service, way, f"[sim {name}]")
    assert "***" in str(told)
    assert KEY not in str(told)


@pytest.mark.parametrize("way", WAYS)
async def test_a_wait_that_the_upstream_asks_for_is_kept(way: Way, service: Running) -> None:
    told = await ask(service, way, "[sim retry_after s=7]")
    assert told.verdict == ("upstream_rate_limited", True)
    assert told.pauses_s == [7, 7]
    assert told.problem["retry_after"] == 7
    if way != "GET /search/stream":
        assert told.headers["retry-after"] == "7"


async def test_a_wait_beyond_the_time_for_retries_is_left_to_the_caller(service: Running) -> None:
    told = await ask(service, "POST /search", "[sim retry_after s=21]")
    assert (told.calls, told.pauses_s) == (1, [])
    assert told.problem["retry_after"] == 21


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["http_429", "http_503", "throttled_200", "throttled_tag"])
async def test_a_throttled_call_is_tried_again_and_then_answered(
    name: str, way: Way, service: Running
) -> None:
    told = await ask(service, way, f"[sim {name} times=2 tag={name}-{way.replace(' ', '-')}]")
    assert (told.status, told.calls) == (200, 3)
    assert told.verdict == ("completed", None)
    assert "response.failed" not in told.names
    first_s, second_s = told.pauses_s
    assert 0.25 <= first_s <= 0.5 <= second_s <= 1.0


def test_the_rows_cover_both_kinds_of_failure() -> None:
    kinds: list[dict[str, Refused] | dict[str, Broken]] = [REFUSED, BROKEN]
    for rows in kinds:
        assert {row.retryable for row in rows.values()} == {True, False}
