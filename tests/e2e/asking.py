"""Asking the service the three ways there are, and what every answer must be like."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

from simulator.pictures import PICTURES
from tests.clock import settle, skip
from tests.service import GALLERY_URL, Running, ServerSentEvent, running_against
from tests.upstream.peer import Part, Peer, serving

Way = Literal["POST /search", "POST /search/stream", "GET /search/stream"]
WAYS: tuple[Way, ...] = ("POST /search", "POST /search/stream", "GET /search/stream")

TERMINAL = {"search.completed", "search.failed", "search.cancelled"}
IMAGE_URL = GALLERY_URL + PICTURES[7].name
GUARD_S = 200
"""On the loop's clock, over what a test says that it will skip: what takes longer hangs."""


class Pauses(logging.Handler):
    """Takes the pauses between tries off the clock, and keeps their lengths in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths_s: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        if (wait_s := fields.get("wait_s")) is not None:
            self.lengths_s.append(wait_s)
            self.paused(wait_s)

    def paused(self, wait_s: float) -> None:
        # By the loop's next turn the service has begun to wait.
        asyncio.get_running_loop().call_soon(skip, wait_s)

    def __enter__(self) -> Self:
        logging.getLogger("app.upstream").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("app.upstream").removeHandler(self)


@dataclass
class Told:
    """What a caller was told, and what it took. `problem`: of the answer or of `search.failed`."""

    status: int
    headers: dict[str, str]
    events: list[ServerSentEvent]
    problem: dict[str, Any]
    result: dict[str, Any]
    calls: int
    pauses_s: list[float]

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    @property
    def relayed(self) -> list[tuple[str, str]]:
        """The upstream's events: name and data."""
        return [(one.event, one.data) for one in self.events if one.event.startswith("response.")]

    @property
    def verdict(self) -> tuple[str, bool | None]:
        """The error code and whether to try again, or how the search ended."""
        if self.problem:
            return self.problem["code"], self.problem["retryable"]
        return self.result["status"], None


def request(way: Way, prompt: str) -> dict[str, Any]:
    asked = {"image_url": IMAGE_URL, "prompt": prompt}
    return {"params": asked} if way.startswith("GET") else {"json": asked}


async def ask(service: Running, way: Way, prompt: str, *, skips_s: Sequence[float] = ()) -> Told:
    """Ask once, put the clock forward at each silence, and check what holds for every answer."""
    before = service.record.total
    method, path = way.split(" ")
    with Pauses() as pauses:
        async with asyncio.timeout(GUARD_S + sum(skips_s)):
            asking = asyncio.create_task(
                service.stream(method, path, timeout=None, **request(way, prompt))
            )
            await service.record.until(lambda record: record.total > before or asking.done())
            for seconds in skips_s:
                await quiet(service)
                skip(seconds)
            response, events = await asking
        await service.record.idle()
    told = Told(
        status=response.status_code,
        headers=dict(response.headers),
        events=events,
        problem={},
        result={},
        calls=service.record.total - before,
        pauses_s=pauses.lengths_s,
    )
    if events:
        read_whole_stream(told)
    else:
        read_body(told, response.json())
    return told


async def quiet(service: Running) -> None:
    """Return when nothing moves any more, neither upstream nor in a log."""
    seen: object = None
    while seen != (now := (service.record.total, service.service.runs.size_bytes)):
        seen = now
        await settle(100)


def read_whole_stream(told: Told) -> None:
    """Read the end of a stream, which is whole: one terminal event, and nothing behind it."""
    names, last = told.names, told.events[-1]
    assert told.status == 200
    assert names[0] == "search.created"
    assert [name for name in names if name in TERMINAL] == [names[-1]]
    assert "error" not in names
    search_id = told.headers["x-search-id"]
    numbers = range(1, len(names) + 1)
    assert [event.id for event in told.events] == [f"{search_id}:{number}" for number in numbers]
    if last.event == "search.failed":
        told.problem, told.result = last.json()["error"], last.json()["result"]
        assert told.problem["search_id"] == search_id
    else:
        told.result = last.json()
    assert told.result["id"] == search_id


def read_body(told: Told, body: dict[str, Any]) -> None:
    if told.status == 200:
        told.result = body
        return
    assert told.headers["content-type"] == "application/problem+json"
    assert body["status"] == told.status
    assert body["code"] != "internal"
    assert ("retry-after" in told.headers) is (told.status == 503)
    told.problem, told.result = body, body.get("result", {})


@asynccontextmanager
async def fronting(*parts: Part, **settings: Any) -> AsyncGenerator[tuple[Running, Peer], None]:
    """The service in front of a peer that serves its connections by these parts."""
    async with (
        asyncio.timeout(GUARD_S),
        serving(*parts) as peer,
        running_against(peer.url, **settings) as service,
    ):
        yield service, peer


async def outcome(service: Running, way: Way) -> dict[str, Any]:
    """The problem that a search ended with, or else its result, whichever way it was asked."""
    method, path = way.split(" ")
    response, events = await service.stream(method, path, timeout=None, **request(way, "Look"))
    if not events:
        body: dict[str, Any] = response.json()
        return body
    assert [one.event for one in events if one.event in TERMINAL] == [events[-1].event]
    last: dict[str, Any] = events[-1].json()
    return last.get("error") or last
