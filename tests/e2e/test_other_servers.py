"""The application under a server that offers it no more than ASGI: slower, and all the same."""

import asyncio
import logging

import pytest

from app.runs import Run
from simulator.pictures import PICTURES
from tests.clock import settle, skip, until
from tests.service import GALLERY_URL, Running, running
from tests.wire import dial, events_of, request

SERVER = "h11"
"""uvicorn's other protocol, as it is."""

URL = GALLERY_URL + PICTURES[7].name
ASKED = {"image_url": URL, "prompt": "Look"}
STALLED = {"image_url": URL, "prompt": "[sim stall after=14]"}


def only_run(service: Running) -> Run:
    (run,) = service.service.runs._runs.values()
    return run


async def test_a_stream_and_a_wait_bring_the_same() -> None:
    async with running(http=SERVER) as service:
        response, events = await service.stream(json=ASKED)
        waited = await service.http.post("/search", json=ASKED)
        assert response.status_code == 200
        assert [event.event for event in events][-1] == "search.completed"
        assert waited.json()["results"]
        _, again = await service.stream("GET", f"/search/{waited.json()['id']}/stream")
        assert again == events


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
async def test_a_caller_who_leaves_is_noticed(path: str) -> None:
    async with running(http=SERVER, stream_linger_s=0) as service:
        async with dial(service.url) as wire:
            wire.send(request("POST", path, body=STALLED))
            await until(lambda: bool(service.service.runs.active))
            run = only_run(service)
            await until(lambda: bool(run.result.answer.results))
            wire.reset()
            await until(lambda: run.ended)
        assert run.cancelled


async def test_a_silence_is_filled_with_comment_lines() -> None:
    async with running(http=SERVER, stream_progress_s=0) as service, dial(service.url) as wire:
        wire.send(request("POST", "/search/stream", body=STALLED))
        await wire.head()
        await until(lambda: bool(only_run(service).result.answer.results))
        await settle(50)
        for _ in range(3):
            skip(15.1)
            await settle(50)
        stream = b""
        while stream.count(b": keep-alive\n") < 3:
            stream += await wire.piece()


async def test_a_reader_that_takes_nothing_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.api")
    long = {"image_url": URL, "prompt": "[sim big_event bytes=4000000]"}
    async with running(http=SERVER, stream_send_timeout_s=30) as service:
        async with dial(service.url, receive_bytes=4_096) as wire:
            wire.stop_reading()
            wire.send(request("POST", "/search/stream", body=long))
            await until(lambda: bool(service.service.runs._runs) and only_run(service).ended)
            await settle(200)
            streams = service.service.metrics.streams_open
            assert streams._value.get() == 1
            skip(31)
            await until(lambda: not streams._value.get())
        assert "reader dropped: it took nothing for too long" in caplog.messages
        async with dial(service.url) as wire, asyncio.timeout(60):
            wire.send(request("GET", f"/search/{only_run(service).id}/stream"))
            await wire.head()
            assert events_of(await wire.rest())[-1] == b"search.completed"
