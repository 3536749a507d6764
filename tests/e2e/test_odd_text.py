"""An upstream whose JSON holds what no text can: every stream still ends as it should."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.service import running_against

CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "queued"}}
ASKED = {"image_url": "https://a.example/x.jpg"}


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text}


def found(title: str) -> dict[str, Any]:
    matches = json.dumps([{"title": title, "url": "https://b.example/y.jpg", "index": 1}])
    item = {"id": "msg_2", "type": "image_search_call", "arguments": "{}", "output": matches}
    return {"type": "response.output_item.done", "item": item}


def ended(**response: Any) -> dict[str, Any]:
    return {
        "type": "response.completed",
        "response": {"id": "resp_1", "status": "completed", "output": [], **response},
    }


@asynccontextmanager
async def saying(*events: dict[str, Any]) -> AsyncGenerator[str, None]:
    """An upstream that gives these events to every call, then ends."""
    body = "".join(f"event:{event['type']}\ndata:{json.dumps(event)}\n\n" for event in events)
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


EMOJI = "\U0001f5fc"
HALVES = EMOJI.encode("utf-16-be")
HIGH, LOW = (HALVES[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
FAILURE = {"code": "server_error", "message": f"no {HIGH}"}

CASES: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "an emoji cut between two deltas, then a break": (
        [CREATED, delta(HIGH), delta(LOW)],
        "search.failed",
        EMOJI,
    ),
    "half an emoji in a delta, then a break": ([CREATED, delta(HIGH)], "search.failed", "\ufffd"),
    "half an emoji in a title": ([CREATED, found(HIGH), ended()], "search.completed", "\ufffd"),
    "half an emoji in a failure": (
        [CREATED, {"type": "response.failed", "response": {"status": "failed", "error": FAILURE}}],
        "search.failed",
        "\ufffd",
    ),
    "more tokens than there are": (
        [CREATED, ended(usage={"input_tokens": 10**400, "output_tokens": 1})],
        "search.completed",
        '"input_tokens":0',
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_odd_text_neither_breaks_an_answer_nor_hides_its_end(case: str) -> None:
    events, terminal, part = CASES[case]
    async with saying(*events) as upstream, running_against(upstream) as service:
        _, streamed = await service.stream(json=ASKED, headers={"Cache-Control": "no-cache"})
        assert [event.event for event in streamed].count(terminal) == 1
        assert streamed[-1].event == terminal
        assert part in streamed[-1].data
        plain = await service.http.post("/search", json=ASKED)
        assert plain.status_code == (200 if terminal == "search.completed" else 502)
        state = await service.http.get(f"/search/{streamed[0].json()['search_id']}")
        assert state.status_code == 200
