"""`responses.stream()` of both SDKs reads a whole search to its final response, when repaired."""

from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.clients.children import run_node
from tests.clients.openai_sdks import IMAGE_URL, TOOLS, content, python_client
from tests.service import Running, running

REPAIR = {"X-Stream-Repair": "openai"}
REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
WHOLE = ["reasoning", "image_search_call", "reasoning", "message"]

SHAPES: dict[str, list[str]] = {
    "normal": WHOLE,
    "reasoning_summary_text": WHOLE,
    "drifting_output_index": WHOLE,
    "sequence_gaps": WHOLE,
    "sequence_repeats": WHOLE,
    "no_reasoning": ["image_search_call", "message"],
    "two_calls": ["reasoning", *["image_search_call", "reasoning"] * 2, "message"],
    "message_call_message": ["reasoning", "message", "image_search_call", "reasoning", "message"],
}


async def with_node(service: Running, headers: dict[str, str]) -> Any:
    prompts = [f"[sim {shape}]" for shape in (*SHAPES, "incomplete")]
    given = {"prompts": prompts, "image": IMAGE_URL, "headers": headers}
    return await run_node("helper", given=given, env={"BASE_URL": f"{service.url}/v1"})


async def with_python(openai: AsyncOpenAI, shape: str) -> dict[str, Any]:
    reasoning = ""
    async with openai.responses.stream(
        model="qwen3.7-plus", input=content(f"[sim {shape}]"), tools=TOOLS, extra_headers=REPAIR
    ) as stream:
        async for event in stream:
            reasoning += getattr(event, "delta", "") if event.type in REASONING else ""
        final = await stream.get_final_response()
    types, text = [item.type for item in final.output], final.output_text
    return {"status": final.status, "types": types, "text": text, "reasoning": reasoning}


def check(answers: list[dict[str, Any]]) -> None:
    for (shape, types), answer in zip(SHAPES.items(), answers, strict=True):
        assert (answer.get("status"), answer.get("types")) == ("completed", types), (shape, answer)
        assert answer["text"]
        assert bool(answer["reasoning"]) is (shape != "no_reasoning")


async def test_node_reads_repaired_searches_whole_and_throws_at_others() -> None:
    async with running() as service:
        *completed, incomplete = await with_node(service, REPAIR)
        unrepaired = await with_node(service, {})
    check(completed)
    assert (incomplete["status"], incomplete["types"]) == ("incomplete", WHOLE)
    assert "missing content" in unrepaired[0]["message"]
    assert "missing content" in unrepaired[1]["message"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_python_reads_repaired_searches_to_their_final_response() -> None:
    """But for an incomplete one: this helper only knows a completed response as a final one."""
    async with running() as service, python_client(f"{service.url}/v1") as openai:
        check([await with_python(openai, shape) for shape in SHAPES])
