"""The upstream goes silent, comes late, or fails late: what callers get, and when."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.clock import quiet, settle, skip
from tests.e2e.asking import STREAMS, Way, ask, request
from tests.service import Running, ServerSentEvent, parse_block, running


class Live:
    """A stream while it is read: what has come by now."""

    def __init__(self, response: httpx.Response) -> None:
        self.text = ""
        self.reading = asyncio.create_task(self._read(response))

    async def _read(self, response: httpx.Response) -> None:
        async for text in response.aiter_text():
            self.text += text

    @property
    def events(self) -> list[ServerSentEvent]:
        return [parse_block(block) for block in self.text.split("\n\n")[:-1]]

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    @property
    def progress(self) -> list[dict[str, Any]]:
        return [event.json() for event in self.events if event.event == "search.progress"]


@asynccontextmanager
async def following(service: Running, prompt: str, way: Way) -> AsyncGenerator[Live, None]:
    method, path = way.split(" ")
    sent = {"headers": {"Accept": "text/event-stream"}, "timeout": None} | request(way, prompt)
    async with service.http.stream(method, path, **sent) as response:
        yield Live(response)


THINKING = "[sim normal silence=60]"
"""The search takes a minute in which the upstream says nothing."""


@pytest.mark.parametrize("way", STREAMS)
async def test_a_minute_of_silence_is_filled_with_progress_on_time(way: Way) -> None:
    async with running() as service, following(service, THINKING, way) as live:
        await quiet()
        before = len(live.progress)
        skip(3)
        await quiet()
        assert len(live.progress) == before
        for beat in range(1, 12):
            skip(5 if beat > 1 else 2)
            await quiet()
            assert len(live.progress) == before + beat
        skip(5)
        await live.reading
        beats = live.progress[before : before + 11]
        assert {progress["phase"] for progress in beats} == {"searching"}
        phases = dict.fromkeys(progress["phase"] for progress in live.progress)
        assert list(phases)[-3:] == ["thinking", "searching", "answering"]
        elapsed_s = [progress["elapsed_s"] for progress in beats]
        assert elapsed_s == sorted(elapsed_s)
        assert live.names[-2:] == ["response.completed", "search.completed"]


async def test_without_progress_a_comment_line_keeps_the_connection_alive() -> None:
    async with (
        running(stream_progress_s=0) as service,
        following(service, THINKING, STREAMS[0]) as live,
    ):
        for beat in range(1, 4):
            await quiet()
            assert live.text.count(": keep-alive") == beat - 1
            skip(15.1)
            await settle(200)
            assert live.text.endswith("\n\n" + ": keep-alive\n" * beat)
        skip(15)
        await live.reading
        assert "search.progress" not in live.names
        assert live.text.count("\n\n") == len(live.events)
        assert live.names[-1] == "search.completed"


@pytest.mark.parametrize(
    ("words", "code", "relayed"),
    [
        ("http_401", "upstream_auth_failed", []),
        ("backend_overflow", "upstream_unavailable", ["response.failed"]),
    ],
)
async def test_a_failure_behind_the_window_for_statuses_is_an_event(
    words: str, code: str, relayed: list[str]
) -> None:
    """Within it, and by GET: `test_scenarios`."""
    slow = f"[sim {words} slow_headers delay=40]"
    async with running(stream_progress_s=0, stream_commit_s=30) as service:
        answer = await ask(service, "POST /search/stream", slow, skips_s=(30, 10))
    assert answer.names == ["search.created", *relayed, "search.failed"]
    assert (answer.problem["code"], answer.problem["status"]) == (code, 502)
    assert answer.result["error"] == answer.problem
