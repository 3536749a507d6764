"""A heartbeat between events with ids: the clients that people use read on.

A lone comment block, as many servers send it, is the control: it ends openai-python's stream.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.clients.children import CLIENTS, run_node
from tests.clients.openai_sdks import IMAGE_URL, python_client
from tests.clock import settle, skip
from tests.node_packages import need_node
from tests.service import ServerSentEvent, running, served

GUARD_S = 100
KEEP_ALIVE = b": keep-alive\n"
"""As the service sends it, which the last test here holds."""
BLOCK = b": ping\n\n"


@pytest.fixture(scope="module", name="events")
async def real_events() -> list[ServerSentEvent]:
    """The upstream's events of a whole search."""
    async with running() as service:
        _, events = await service.stream(json={"image_url": IMAGE_URL})
    return [event for event in events if event.event.startswith("response.")]


def with_beats(events: Sequence[ServerSentEvent], beat: bytes) -> list[bytes]:
    """Each event, and between them one beat, two, or none."""
    chunks = [b"retry: 2000\n"]
    for number, event in enumerate(events, start=1):
        frame = f"event: {event.event}\ndata: {event.data}\nid: srch_0:{number}\n\n"
        chunks += [frame.encode(), *[beat] * (number % 3)]
    return chunks


@asynccontextmanager
async def sending(chunks: Sequence[bytes]) -> AsyncGenerator[str, None]:
    """A server whose every answer is these chunks, each written by itself."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)

    async def answer(_: Request) -> Response:
        return StreamingResponse(body(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/responses", answer, methods=["GET", "POST"])])
    async with asyncio.timeout(GUARD_S), served(app) as url:
        yield url


async def read_with_openai_python(url: str) -> list[Any]:
    async with python_client(url, max_retries=0) as client:
        stream = await client.responses.create(model="any", input="Look", stream=True)
        return [event async for event in stream]


async def test_openai_python_reads_on(events: list[ServerSentEvent]) -> None:
    async with sending(with_beats(events, KEEP_ALIVE)) as url:
        read = await read_with_openai_python(url)
    assert [event.type for event in read] == [event.event for event in events]
    assert read[-1].response.status == "completed"


async def test_openai_python_would_not_survive_a_comment_block(
    events: list[ServerSentEvent],
) -> None:
    async with sending(with_beats(events, BLOCK)) as url:
        with pytest.raises(json.JSONDecodeError):
            await read_with_openai_python(url)


async def test_openai_node_reads_on(events: list[ServerSentEvent]) -> None:
    async with sending(with_beats(events, KEEP_ALIVE)) as url:
        read = await run_node("comment_openai", url)
    assert read == [json.loads(event.data) for event in events]


async def test_eventsource_parser_reads_on(events: list[ServerSentEvent]) -> None:
    async with sending(with_beats(events, KEEP_ALIVE)) as url:
        read = await run_node("comment_parser", f"{url}/responses")
    assert read["events"] == [
        [f"srch_0:{number}", event.event, event.data]
        for number, event in enumerate(events, start=1)
    ]
    assert set(read["comments"]) == {"keep-alive"}
    assert read["errors"] == []


async def test_eventsource_parser_reads_a_search_through_a_silence() -> None:
    need_node(CLIENTS)
    asked = {"image_url": IMAGE_URL, "prompt": "[sim normal silence=60]"}
    async with asyncio.timeout(GUARD_S), running(stream_progress_s=0) as service:
        url = f"{service.url}/search/stream?{urlencode(asked)}"
        reading = asyncio.create_task(run_node("comment_parser", url))
        await service.record.until(lambda record: record.open == 1)
        await settle(2_000)
        for pause_s in (15.1, 15.1, 15.1, 14.8):
            skip(pause_s)
            await settle(2_000)
        read = await reading
    assert read["comments"] == ["keep-alive"] * 3
    assert read["errors"] == []
    numbers = [event_id.split(":")[1] for event_id, *_ in read["events"]]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert read["events"][-1][1] == "search.completed"
