"""The Vercel AI SDK's OpenAI provider: what it reads of a search."""

from typing import Any

from tests.clients.children import run_node
from tests.clients.openai_sdks import IMAGE_URL, PICTURE
from tests.service import Running, running


async def streamed(service: Running, prompt: str) -> Any:
    asked = {"BASE_URL": f"{service.url}/v1", "IMAGE_URL": IMAGE_URL, "PROMPT": prompt}
    return await run_node("ai_sdk", env=asked)


async def test_a_streamed_search_comes_to_its_end() -> None:
    async with running() as service:
        answer = await streamed(service, "What is this?")
        await service.record.idle()
        call = service.record.calls[-1]
    assert call.tool_calls == 1
    assert answer["errors"] == []
    assert answer["finish"] == "stop"
    assert answer["found"][0]["title"] == PICTURE.title
    assert PICTURE.title in answer["text"]
    assert answer["tokens"] == call.input_tokens + call.output_tokens
    # The provider does not know the tool, and reports neither its calls nor its results.
    assert not [part for part in answer["parts"] if part.startswith(("tool-", "source"))]


async def test_failures_are_reported_as_errors() -> None:
    async with running() as service:
        early = await streamed(service, "[sim http_500]")
        late = await streamed(service, "[sim cut_after_results]")
    assert early["errors"] == ["upstream_unavailable"]
    assert late["errors"] == ["The upstream's answer ended without a terminal event."]
    assert late["finish"] == "error"
