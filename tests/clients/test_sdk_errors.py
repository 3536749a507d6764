"""Every failure is told by both SDKs: an exception of its class, or a `response.failed` event."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.e2e.scenario_table import ANSWERED, BROKEN, REFUSED, Broken, Refused
from tests.sdk.asking import BOTH, Row, Told
from tests.service import Running, running

PLAIN: dict[str, Any] = {"upstream_retries": 0, "stream_commit_s": 30}
"""One upstream call a request, and real statuses however slow this machine is."""

LIMITS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "first event": PLAIN | {"upstream_first_event_timeout_s": 0.2},
    "idle": PLAIN | {"upstream_idle_timeout_s": 0.2},
    "total": PLAIN | {"upstream_total_timeout_s": 0.3},
    "small": PLAIN | {"upstream_max_event_bytes": 65_536, "search_max_bytes": 1_310_720},
}
STREAM_LIMITS = {
    "hang": "first event",
    "stall_before_first": "first event",
    "stall": "idle",
    "endless": "small",
    "event_without_end": "small",
}
WHOLE_LIMITS = STREAM_LIMITS | {"hang": "total", "stall_before_first": "total", "stall": "total"}

CALLERS_OWN = {"bracket_400": Refused(422, "invalid_request", retryable=False)}
"""Of a search it would be this service's fault: there it makes the request that is refused."""

FAILURES: dict[str, Refused | Broken] = {**REFUSED, **BROKEN, **CALLERS_OWN}
ANSWERED_WHOLE = {"json_200"}
"""What fails only where a stream was asked for."""

RELAYED_CODES = {"failed_mid_stream": "server_error"}
"""The upstream's own `response.failed` comes as it is, with its own code."""

CLASSES = {422: "UnprocessableEntityError"}


@asynccontextmanager
async def services() -> AsyncIterator[dict[str, Running]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(running(**limits))
            for name, limits in LIMITS.items()
        }


def words(scenario: str) -> str:
    failure = FAILURES.get(scenario)
    more = failure.words if isinstance(failure, Broken) else ""
    return f"[sim {scenario} {more}]"


def check_raised(told: Told, status: int, code: str, scenario: str) -> None:
    wanted = CLASSES.get(status, "InternalServerError")
    assert (told.raised, told.status, told.code) == (wanted, status, code), scenario
    assert told.request_id, scenario
    assert told.request_id.startswith("req_"), scenario


@pytest.mark.parametrize("sdk", BOTH)
async def test_no_stream_ends_silently(sdk: str) -> None:
    async with services() as by_name:
        rows = [
            Row(f"{by_name[STREAM_LIMITS.get(name, 'plain')].url}/v1", words(name), stream=True)
            for name in FAILURES
        ]
        answers = await BOTH[sdk](rows)
    for (scenario, failure), told in zip(FAILURES.items(), answers, strict=True):
        if isinstance(failure, Refused):
            check_raised(told, failure.status, failure.code, scenario)
        else:
            code = RELAYED_CODES.get(scenario, failure.code)
            assert (told.last, told.code) == ("response.failed", code), scenario


@pytest.mark.parametrize("sdk", BOTH)
async def test_no_failure_passes_for_an_answer(sdk: str) -> None:
    async with services() as by_name:
        rows = [
            Row(f"{by_name[WHOLE_LIMITS.get(name, 'plain')].url}/v1", words(name), stream=False)
            for name in FAILURES
        ]
        answers = await BOTH[sdk](rows)
    for (scenario, failure), told in zip(FAILURES.items(), answers, strict=True):
        if scenario in ANSWERED_WHOLE:
            assert told == Told(last="response.completed"), scenario
        else:
            check_raised(told, failure.status, failure.code, scenario)


@pytest.mark.parametrize("sdk", BOTH)
async def test_whatever_is_answered_is_read_to_its_end(sdk: str) -> None:
    asked = {name: well for name, well in ANSWERED.items() if not well.skips_s and not well.words}
    async with running() as service:
        for stream in (True, False):
            rows = [Row(f"{service.url}/v1", words(name), stream=stream) for name in asked]
            answers = await BOTH[sdk](rows)
            for (scenario, well), told in zip(asked.items(), answers, strict=True):
                assert told == Told(last=f"response.{well.status}"), (scenario, stream)
