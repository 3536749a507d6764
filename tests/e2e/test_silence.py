"""The upstream goes silent, comes late, or fails late: what callers get, and when."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest

from simulator import Knobs
from tests.clock import settle, skip
from tests.e2e.asking import Way, ask, quiet, request
from tests.service import KEY, Running, ServerSentEvent, parse_block, running

GUARD_S = 4_000
"""What is skipped in a test, and then some."""


class Live:
    """A stream while it is read: what has come by now."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.text = ""
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self.response.aiter_text():
            self.text += text
            self._came.set()

    @property
    def events(self) -> list[ServerSentEvent]:
        return [parse_block(block) for block in self.text.split("\n\n")[:-1]]

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    def told(self, name: str) -> list[dict[str, Any]]:
        return [event.json() for event in self.events if event.event == name]

    async def until(self, name: str) -> None:
        while name not in self.names:
            self._came.clear()
            await self._came.wait()

    async def to_the_end(self) -> None:
        await self._reading


@asynccontextmanager
async def following(service: Running, prompt: str, way: Way) -> AsyncGenerator[Live, None]:
    method, path = way.split(" ")
    headers = {"Accept": "text/event-stream"}
    asked = request(way, prompt)
    async with (
        asyncio.timeout(GUARD_S),
        service.http.stream(method, path, headers=headers, timeout=None, **asked) as response,
    ):
        yield Live(response)


STREAMS: tuple[Way, ...] = ("POST /search/stream", "GET /search/stream")
THINKING = "[sim normal silence=60]"
"""The search takes a minute in which the upstream says nothing."""


@pytest.mark.parametrize("way", STREAMS)
async def test_a_minute_of_silence_is_filled_with_progress_on_time(way: Way) -> None:
    async with running() as service, following(service, THINKING, way) as live:
        await live.until("response.output_item.added")
        await quiet(service)
        skip(3)
        await settle(100)
        assert live.told("search.progress") == []
        for beat in range(1, 12):
            skip(5 if beat > 1 else 2)
            await quiet(service)
            assert len(live.told("search.progress")) == beat
        skip(5)
        await live.to_the_end()
        told = live.told("search.progress")
        assert {progress["phase"] for progress in told} == {"searching"}
        elapsed_s = [progress["elapsed_s"] for progress in told]
        assert all(later - earlier >= 4.9 for earlier, later in pairwise([0, *elapsed_s]))
        assert live.names[-2:] == ["response.completed", "search.completed"]


async def test_progress_names_the_phase_that_the_search_is_in() -> None:
    """The upstream halts after so many events; the phase is what the last of them tells."""
    phases = {"hang": "waiting", "stall after=2": "waiting", "stall after=4": "thinking"}
    async with running(cache_ttl_s=0, stream_commit_s=1) as service:
        seen = {}
        for halt in phases:
            async with following(service, f"[sim {halt}]", "GET /search/stream") as live:
                await service.record.until(lambda record: record.open == 1)
                await quiet(service)
                skip(5.1)
                await live.until("search.progress")
                seen[halt] = live.told("search.progress")[0]["phase"]
                await service.http.delete("/search/" + live.response.headers["x-search-id"])
                await live.to_the_end()
                await service.record.idle()
    assert seen == phases


async def test_a_slow_answer_is_told_to_be_on_its_way() -> None:
    """Deltas which come slower than the signs of life: the phase is `answering`."""
    slow = Knobs(key=KEY, pace_s=6, silence_s=0)
    async with running(knobs=slow) as service, following(service, "Look", STREAMS[1]) as live:
        for _ in range(60):
            await quiet(service)
            skip(5.5)
            await settle(50)
        await live.to_the_end()
    told = [progress["phase"] for progress in live.told("search.progress")]
    assert told[-1] == "answering"
    assert live.names[-1] == "search.completed"


@pytest.mark.parametrize("way", STREAMS)
async def test_events_put_the_sign_of_life_off(way: Way) -> None:
    """One delta every 40 seconds, and never 50 of silence."""
    steady = Knobs(key=KEY, pace_s=40, silence_s=0)
    async with (
        running(knobs=steady, stream_progress_s=50, upstream_total_timeout_s=0) as service,
        following(service, "Look", way) as live,
    ):
        while "search.completed" not in live.names:
            await quiet(service)
            skip(40)
            await settle(50)
        assert "search.progress" not in live.names


@pytest.mark.parametrize("way", STREAMS)
async def test_without_progress_a_comment_line_keeps_the_connection_alive(way: Way) -> None:
    async with (
        running(stream_progress_s=0) as service,
        following(service, THINKING, way) as live,
    ):
        await live.until("response.output_item.added")
        for beat in range(1, 4):
            await quiet(service)
            assert live.text.count(": keep-alive") == beat - 1
            skip(15.1)
            await settle(200)
            assert live.text.endswith("\n\n" + ": keep-alive\n" * beat)
        skip(15)
        await live.to_the_end()
        assert "search.progress" not in live.names
        assert live.text.count("\n\n") == len(live.events)
        assert live.names[-1] == "search.completed"


async def test_a_late_first_event_comes_in_a_stream_that_has_begun() -> None:
    async with running() as service:
        told = await ask(
            service, "POST /search/stream", "[sim slow_headers delay=40]", skips_s=(2, 38)
        )
    assert told.status == 200
    assert told.names[-1] == "search.completed"
    assert told.names[1] == "search.progress"


@pytest.mark.parametrize(
    ("words", "code", "status", "relayed"),
    [
        ("http_401", "upstream_auth_failed", 502, []),
        ("http_400", "invalid_request", 422, []),
        ("backend_overflow", "upstream_unavailable", 502, ["response.failed"]),
        ("data_inspection", "content_blocked", 422, []),
        ("http_502_html", "upstream_unavailable", 502, []),
    ],
)
async def test_a_failure_has_its_status_in_the_window_and_its_event_behind_it(
    words: str, code: str, status: int, relayed: list[str]
) -> None:
    """The same failure, told at once and told after `STREAM_COMMIT_S`."""
    async with running(cache_ttl_s=0, stream_progress_s=0) as service:
        early = await ask(service, "POST /search/stream", f"[sim {words}]")
        late = await ask(
            service, "POST /search/stream", f"[sim {words} slow_headers delay=10]", skips_s=(2, 8)
        )
        by_get = await ask(service, "GET /search/stream", f"[sim {words}]")
    assert (early.status, early.problem["code"]) == (status, code)
    assert early.headers["content-type"] == "application/problem+json"
    for told in (late, by_get):
        assert told.status == 200
        assert told.names == ["search.created", *relayed, "search.failed"]
        assert (told.problem["code"], told.problem["status"]) == (code, status)
        assert told.result["error"] == told.problem


@pytest.mark.parametrize("way", STREAMS)
async def test_a_lone_failed_event_is_relayed_as_it_came(way: Way) -> None:
    words = "[sim throttled_200 slow_headers delay=10 seed=3]"
    async with running(upstream_retries=0, stream_progress_s=0) as service:
        told = await ask(service, way, words, skips_s=(2, 8))
    assert told.names == ["search.created", "response.failed", "search.failed"]
    failed = told.events[1].json()["response"]
    assert failed["status"] == "failed"
    assert failed["error"]["message"] == told.problem["upstream"]["message"]
    assert told.verdict == ("upstream_rate_limited", True)


@pytest.mark.parametrize(
    ("words", "settings", "phase", "skips_s"),
    [
        ("hang", {}, "first event", (59, 2)),
        ("stall_before_first", {}, "first event", (59, 2)),
        ("slow_headers delay=61", {}, "first event", (59, 2)),
        ("stall after=1", {}, "idle", (179, 2)),
        ("silence s=200", {}, "idle", (179, 2)),
        ("hang", {"upstream_first_event_timeout_s": 0}, "total", (309, 2)),
        ("stall", {"upstream_idle_timeout_s": 0}, "total", (309, 2)),
        ("stall", {"upstream_idle_timeout_s": 20}, "idle", (19, 2)),
        ("stall", {"upstream_total_timeout_s": 20}, "total", (19, 2)),
    ],
)
async def test_a_time_out_names_its_phase_and_closes_the_call(
    words: str, settings: dict[str, Any], phase: str, skips_s: tuple[float, ...]
) -> None:
    async with running(**settings) as service:
        told = await ask(service, "POST /search", f"[sim {words}]", skips_s=skips_s)
        assert (told.status, told.verdict) == (504, ("upstream_timeout", True))
        assert f" {phase} " in told.problem["detail"]
        assert (told.calls, told.pauses_s) == (1, [])
        assert service.record.open == 0
        assert service.record.calls[-1].finished == "client_gone"


async def test_with_every_time_out_off_an_answer_may_take_its_time() -> None:
    off: dict[str, Any] = {"upstream_first_event_timeout_s": 0, "upstream_idle_timeout_s": 0}
    async with running(**off, upstream_total_timeout_s=0) as service:
        told = await ask(
            service, "POST /search", "[sim slow_headers delay=500]", skips_s=(309, 2, 189)
        )
    assert (told.status, told.verdict) == (200, ("completed", None))
