"""The Vercel AI SDK's OpenAI provider: what it reads of a search."""

import json
from typing import Any

from simulator.pictures import PICTURES
from tests.clients.children import run_node
from tests.service import GALLERY_URL, Running, running

PICTURE = PICTURES[7]


async def streamed(service: Running, prompt: str) -> dict[str, Any]:
    ended = await run_node(
        "ai_sdk",
        BASE_URL=f"{service.url}/v1",
        IMAGE_URL=GALLERY_URL + PICTURE.name,
        PROMPT=prompt,
    )
    assert ended.status == 0, ended.err
    told: dict[str, Any] = json.loads(ended.out)
    return told


async def test_a_streamed_search_comes_to_its_end() -> None:
    async with running() as service:
        told = await streamed(service, "What is this?")
        await service.record.idle()
        call = service.record.calls[-1]
    assert call.tool_calls == 1
    assert told["errors"] == []
    assert told["finish"] == "stop"
    assert told["found"][0]["title"] == PICTURE.title
    assert PICTURE.title in told["text"]
    assert told["tokens"] == call.input_tokens + call.output_tokens
    # As the README says: a provider that knows the tool would tell of its calls and results.
    assert not [part for part in told["parts"] if part.startswith(("tool-", "source"))]


async def test_failures_are_told_as_errors() -> None:
    async with running() as service:
        early = await streamed(service, "[sim http_500]")
        late = await streamed(service, "[sim cut_after_results]")
    assert early["errors"] == ["upstream_unavailable"]
    assert late["errors"] == ["The upstream's answer ended without its last event."]
    assert late["finish"] == "error"
