"""One search in each client that people use, cut once: resumed, or told, and paid for once."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.clients.children import CLIENTS, NOTHING, run, started, upstream_calls
from tests.clients.openai_sdks import IMAGE_URL
from tests.installed import need
from tests.node_packages import need_node
from tests.processes import service, simulator
from tests.service import parse_block
from tests.web.node_programs import other_site

PACE_S = "0.02"
"""Between two pieces of text: some clients come back before the end, others after it."""
HEARTBEATS = {"STREAM_PROGRESS_S": "0", "STREAM_HEARTBEAT_S": "0.005"}
"""Comment lines between any two events."""

Told = dict[str, Any]


class World(NamedTuple):
    """The service and the stand-in as processes, and a page of another site."""

    http: httpx.AsyncClient
    upstream_url: str
    site: str
    names: str


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with (
        simulator(SIMULATOR_PACE_S=PACE_S) as upstream,
        service(upstream, CORS_ORIGINS="*", **HEARTBEATS) as process,
        other_site() as site,
        httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as http,
    ):
        whole = (await http.post("/search/stream", json={"image_url": IMAGE_URL})).text
        assert whole.count(": keep-alive\nevent: ") > 1
        names = {name for _, name, _ in blocks(whole)}
        yield World(http, upstream.url, site, ",".join(names))


def blocks(text: str) -> list[list[str]]:
    return [list(parse_block(block)) for block in text.split("\n\n") if block]


async def has_each_event(told: Told, world: World) -> None:
    search_id = told["events"][0][0].split(":")[0]
    whole = await world.http.get(f"/search/{search_id}/stream")
    assert told["events"] == blocks(whole.text)


async def has_each_v1_event(told: Told, world: World) -> None:
    whole = await world.http.get(f"/v1/responses/{told['id']}?stream=true")
    lines = [line for line in whole.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    members = ("type", "sequence_number", "delta")
    assert told["events"] == [[event.get(name) for name in members] for event in events]


async def has_one_answer(told: Told, world: World) -> None:
    question, answer = told["messages"]
    assert (question["role"], told["cuts"]) == ("user", 1)
    result = (await world.http.get(f"/search/{answer['id']}")).json()
    parts = {part["type"]: part for part in answer["parts"]}
    assert sum(part["type"] == "text" for part in answer["parts"]) == 1
    assert parts["text"]["text"] == result["text"]
    assert parts["dynamic-tool"]["output"]["results"] == result["results"]
    sources = [part["url"] for part in answer["parts"] if part["type"] == "source-url"]
    assert sources == [found["url"] for found in result["results"]]
    assert answer["metadata"]["usage"] == result["usage"]


async def says_that_it_was_cut(told: Told, _: World) -> None:
    assert told["error"]
    assert 0 < len(told["text"]) < 100


class Client(NamedTuple):
    """A program in `programs/cut` that resumes, or not; its arguments and variables; the check."""

    program: str
    check: Callable[[Told, World], Awaitable[None]]
    resumes: bool = True
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = NOTHING


AI5, AI6 = ((f"ai=ai{n}", f"@ai-sdk/react=react-ai{n}") for n in (5, 6))
CLIENT = {
    "openai-python": Client("openai_python.py", has_each_v1_event),
    "openai-node": Client("openai_node.mjs", has_each_v1_event),
    "LangChain": Client("langchain_model.py", says_that_it_was_cut, resumes=False),
    "AI SDK": Client("ai_sdk.mjs", says_that_it_was_cut, resumes=False),
    "useChat of ai 5": Client("use_chat.jsx", has_one_answer, True, AI5, {"VERSION": "5"}),
    "useChat of ai 6": Client("use_chat.jsx", has_one_answer, True, AI6, {"VERSION": "6"}),
    "useChat of ai 7": Client("use_chat.jsx", has_one_answer, env={"VERSION": "7"}),
    "fetch-event-source": Client("fetch_event_source.js", has_each_event),
    "eventsource 2": Client("eventsource.mjs", has_each_event, arguments=("eventsource2",)),
    "eventsource 4": Client("eventsource.mjs", has_each_event, arguments=("eventsource",)),
    "EventSource": Client("event_source.js", has_each_event),
    "event-source-polyfill": Client("event_source.js", has_each_event),
    "react-native-sse": Client("event_source.js", has_each_event),
    "httpx-sse": Client("httpx_sse_stream.py", has_each_event),
    "curl": Client("curl.sh", has_each_event),
}
RUNNERS = {".py": (sys.executable,), ".mjs": ("node",), ".sh": ("sh",)}
IN_PAGE = ("node", "programs/browser.mjs")


def read(printed: str) -> Told:
    """What a program says; curl says the stream itself."""
    found: Told = json.loads(printed) if printed[0] == "{" else {"events": blocks(printed)}
    return found


@pytest.mark.parametrize("name", CLIENT)
async def test_a_search_that_is_cut_is_paid_once(name: str, world: World) -> None:
    need_node(CLIENTS)
    client = CLIENT[name]
    runner = RUNNERS.get(Path(client.program).suffix, IN_PAGE)
    asked = {"KIND": name, "IMAGE_URL": IMAGE_URL, "PROMPT": f"What is this, {name}?"}
    asked |= {"NAMES": world.names, "SITE": world.site, **client.env}
    if runner == IN_PAGE:
        asked["CHROMIUM"] = need("chromium")
    async with started("node", "programs/cutter.mjs", str(world.http.base_url)) as cutter:
        assert cutter.stdout
        asked["SERVICE"] = (await cutter.stdout.readline()).decode().strip()
        program = f"programs/cut/{client.program}"
        told = read(await run(*runner, program, *client.arguments, env=asked))
        said, _ = await cutter.communicate(b"")
    assert said.split() == [b"stream", b"cut", *[b"stream"] * client.resumes]
    await client.check(told, world)
    assert len(await upstream_calls(world.upstream_url, asked["PROMPT"])) == 1
