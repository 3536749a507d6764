"""The vendor page's six programs, pointed at the service: base URL and key are all that differs."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.children import CLIENTS, run
from tests.clients.openai_sdks import IMAGE_URL, PICTURE
from tests.node_packages import need_node
from tests.service import running

CLIENT_KEY = "shop-key-0123456789abcdef0123456789abcdef"


def sdk_lines(printed: str) -> dict[str, Any]:
    """What the SDK programs print, one thing a line."""
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    return {
        "call": json.loads(lines["tool call"]),
        "found": [value for name, value in lines.items() if name.startswith("found ")],
        "text": lines["text"],
        "tokens": int(lines["tokens"]),
        "count": int(lines["tool count"]),
    }


def of_response(response: dict[str, Any]) -> dict[str, Any]:
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


def curl_body(printed: str) -> dict[str, Any]:
    return of_response(json.loads(printed))


def curl_stream(printed: str) -> dict[str, Any]:
    events = [json.loads(line) for line in re.findall(r"^data: (.*)$", printed, re.MULTILINE)]
    assert events[-1]["type"] == "response.completed"
    answer = of_response(events[-1]["response"])
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == answer["text"]
    return answer


PROGRAMS: dict[str, tuple[tuple[str, str], Callable[[str], dict[str, Any]]]] = {
    "python": ((sys.executable, "programs/search.py"), sdk_lines),
    "python, streaming": ((sys.executable, "programs/search_stream.py"), sdk_lines),
    "node": (("node", "node/search.mjs"), sdk_lines),
    "node, streaming": (("node", "node/search_stream.mjs"), sdk_lines),
    "curl": (("sh", "programs/search.sh"), curl_body),
    "curl, streaming": (("sh", "programs/search_stream.sh"), curl_stream),
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_program_prints_what_was_searched_found_said_and_used(program: str) -> None:
    command, read = PROGRAMS[program]
    if command[0] == "node":
        need_node(CLIENTS)
    async with running(client_keys=f"shop:{CLIENT_KEY}", allow_anonymous=False) as service:
        given = {"BASE_URL": f"{service.url}/v1", "API_KEY": CLIENT_KEY, "IMAGE_URL": IMAGE_URL}
        answer = read(await run(*command, env=given))
        await service.record.idle()
        call = service.record.calls[-1]
    assert answer["call"] == {"img_idx": 0, "bbox": [0, 0, 1000, 1000]}
    assert answer["found"][0].startswith(f"{PICTURE.title} http")
    assert len(answer["found"]) > 1
    assert PICTURE.title in answer["text"]
    assert answer["tokens"] == call.input_tokens + call.output_tokens
    assert answer["count"] == call.tool_calls == 1
