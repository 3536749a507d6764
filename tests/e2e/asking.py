"""Asking the service the three ways there are, and what every answer must be like."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.pictures import PICTURES
from tests.clock import quiet, skip, skipping_pauses
from tests.service import GALLERY_URL, Running, ServerSentEvent

Way = Literal["POST /search", "POST /search/stream", "GET /search/stream"]
WAYS: tuple[Way, ...] = ("POST /search", "POST /search/stream", "GET /search/stream")
STREAMS: tuple[Way, ...] = WAYS[1:]

TERMINAL = {"search.completed", "search.failed", "search.cancelled"}
PICTURE = PICTURES[7]
IMAGE_URL = GALLERY_URL + PICTURE.name
ASKED: dict[str, Any] = {"image_url": IMAGE_URL, "prompt": "What is this?"}
STALLED: dict[str, Any] = {"image_url": IMAGE_URL, "prompt": "[sim stall after=14]"}
"""A search that finds something, and then goes on without end."""
GUARD_S = 200
"""On the loop's clock, beside what a test skips: what takes longer hangs."""


@dataclass
class Answer:
    """What a caller got."""

    status: int
    headers: dict[str, str]
    events: list[ServerSentEvent]
    calls: int  # Of the upstream.
    waited_s: float  # What was skipped of pauses between two calls.
    problem: dict[str, Any] = field(default_factory=dict)  # Also that of `search.failed`.
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [one.event for one in self.events if one.event != "search.progress"]

    @property
    def relayed(self) -> list[tuple[str, str]]:
        return [(one.event, one.data) for one in self.events if one.event.startswith("response.")]

    @property
    def outcome(self) -> tuple[str, bool | None]:
        """The error code and whether a retry may help, or how the search ended."""
        if self.problem:
            return self.problem["code"], self.problem["retryable"]
        return self.result["status"], None


def request(way: Way, prompt: str) -> dict[str, Any]:
    body = {"image_url": IMAGE_URL, "prompt": prompt}
    return {"params": body} if way.startswith("GET") else {"json": body}


async def ask(service: Running, way: Way, prompt: str, *, skips_s: Sequence[float] = ()) -> Answer:
    """Ask once; whenever all is quiet, skip to the next timer, or by `skips_s`."""
    before = service.record.total
    method, path = way.split(" ")
    pauses_s: list[float] = []
    async with asyncio.timeout(GUARD_S + sum(skips_s)):
        sent = service.stream(method, path, timeout=None, **request(way, prompt))
        if skips_s:
            asking = asyncio.create_task(sent)
            for seconds in skips_s:
                await quiet()
                skip(seconds)
            response, events = await asking
        else:
            with skipping_pauses() as pauses_s:
                response, events = await sent
        await service.record.idle()
    calls = service.record.total - before
    headers = dict(response.headers)
    answer = Answer(response.status_code, headers, events, calls=calls, waited_s=sum(pauses_s))
    if events:
        read_whole_stream(answer)
    else:
        read_body(answer, response.json())
    return answer


def read_whole_stream(answer: Answer) -> None:
    """Check a stream: ids without gaps, one terminal event, and nothing behind it."""
    names, last = [one.event for one in answer.events], answer.events[-1]
    assert answer.status == 200
    assert names[0] == "search.created"
    assert [name for name in names if name in TERMINAL] == [names[-1]]
    assert "error" not in names
    search_id = answer.headers["x-search-id"]
    numbers = range(1, len(names) + 1)
    assert [event.id for event in answer.events] == [f"{search_id}:{n}" for n in numbers]
    if last.event == "search.failed":
        answer.problem, answer.result = last.json()["error"], last.json()["result"]
        assert answer.problem["search_id"] == search_id
    else:
        answer.result = last.result()
    assert answer.result["id"] == search_id


def read_body(answer: Answer, body: dict[str, Any]) -> None:
    """Check a result or a problem."""
    if answer.status == 200:
        answer.result = body
        return
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status
    assert body["code"] != "internal"
    assert ("retry-after" in answer.headers) is (answer.status == 503)
    answer.problem, answer.result = body, body.get("result", {})
