"""The vendor page's six programs, pointed at the service: base URL and key are all that differs."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from simulator.pictures import PICTURES
from tests.clients.children import Ended, run, run_node, run_python
from tests.service import GALLERY_URL, running

PICTURE = PICTURES[7]
CLIENT_KEY = "shop-key-0123456789abcdef0123456789abcdef"


def curl(script: str) -> Callable[..., Awaitable[Ended]]:
    return lambda **variables: run("sh", f"programs/{script}.sh", **variables)


def sdk_lines(ended: Ended) -> dict[str, Any]:
    """What the SDK programs print, one thing a line."""
    lines = dict(line.split(": ", 1) for line in ended.out.splitlines())
    return {
        "call": json.loads(lines["tool call"]),
        "found": [value for name, value in lines.items() if name.startswith("found ")],
        "text": lines["text"],
        "tokens": int(lines["tokens"]),
        "count": int(lines["tool count"]),
    }


def response_told(response: dict[str, Any]) -> dict[str, Any]:
    """The same from a response as curl prints it."""
    items = {item["type"]: item for item in response["output"]}
    call = items["image_search_call"]
    return {
        "call": json.loads(call["arguments"]),
        "found": [f"{one['title']} {one['url']}" for one in json.loads(call["output"])],
        "text": items["message"]["content"][0]["text"],
        "tokens": response["usage"]["total_tokens"],
        "count": response["usage"]["x_tools"]["image_search"]["count"],
    }


def curl_body(ended: Ended) -> dict[str, Any]:
    return response_told(json.loads(ended.out))


def curl_stream(ended: Ended) -> dict[str, Any]:
    lines = re.findall(r"^data: (.*)$", ended.out, re.MULTILINE)
    events = [json.loads(line) for line in lines]
    assert events[-1]["type"] == "response.completed"
    told = response_told(events[-1]["response"])
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == told["text"]
    return told


PROGRAMS: dict[str, tuple[Callable[..., Awaitable[Ended]], Callable[[Ended], dict[str, Any]]]] = {
    "python": (lambda **given: run_python("search", **given), sdk_lines),
    "python, streaming": (lambda **given: run_python("search_stream", **given), sdk_lines),
    "node": (lambda **given: run_node("search", **given), sdk_lines),
    "node, streaming": (lambda **given: run_node("search_stream", **given), sdk_lines),
    "curl": (curl("search"), curl_body),
    "curl, streaming": (curl("search_stream"), curl_stream),
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_program_prints_what_was_searched_found_said_and_used(program: str) -> None:
    start, read = PROGRAMS[program]
    async with running(client_keys=f"shop:{CLIENT_KEY}", allow_anonymous=False) as service:
        ended = await start(
            BASE_URL=f"{service.url}/v1",
            API_KEY=CLIENT_KEY,
            IMAGE_URL=GALLERY_URL + PICTURE.name,
        )
        await service.record.idle()
        call = service.record.calls[-1]
    assert ended.status == 0, ended.err
    told = read(ended)
    assert told["call"] == {"img_idx": 0, "bbox": [0, 0, 1000, 1000]}
    assert told["found"][0].startswith(f"{PICTURE.title} http")
    assert len(told["found"]) > 1
    assert PICTURE.title in told["text"]
    assert told["tokens"] == call.input_tokens + call.output_tokens
    assert told["count"] == call.tool_calls == 1
