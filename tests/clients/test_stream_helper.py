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
    "incomplete": WHOLE,
    "crlf": WHOLE,
}
THROWN_AT = ("normal", "reasoning_summary_text")


async def with_node(service: Running, shapes: list[str], headers: dict[str, str]) -> Any:
    prompts = [f"[sim {shape}]" for shape in shapes]
    given = {"prompts": prompts, "image": IMAGE_URL, "headers": headers}
    return await run_node("helper", given=given, env={"BASE_URL": f"{service.url}/v1"})


async def with_python(openai: AsyncOpenAI, shape: str) -> dict[str, Any]:
    reasoning = ""
    async with openai.responses.stream(
        model="qwen3.7-plus",
        input=content(f"[sim {shape}]"),
        tools=TOOLS,
        extra_headers=REPAIR,
    ) as stream:
        async for event in stream:
            reasoning += getattr(event, "delta", "") if event.type in REASONING else ""
            assert event.type != "response.failed"
        if shape == "incomplete":
            # This helper only knows a completed response as a final one.
            return {}
        final = await stream.get_final_response()
    return {
        "status": final.status,
        "types": [item.type for item in final.output],
        "text": final.output_text,
        "reasoning": reasoning,
    }


def check(answer: dict[str, Any], shape: str) -> None:
    assert answer.get("types") == SHAPES[shape], (shape, answer)
    assert answer["status"] == ("incomplete" if shape == "incomplete" else "completed")
    assert answer["text"]
    assert bool(answer["reasoning"]) is (shape != "no_reasoning")


async def test_node_reads_repaired_searches_to_their_final_response() -> None:
    async with running() as service:
        answers = await with_node(service, list(SHAPES), REPAIR)
    for shape, answer in zip(SHAPES, answers, strict=True):
        check(answer, shape)


async def test_node_throws_where_nothing_is_repaired() -> None:
    """Else the repair, and its test, would do nothing."""
    async with running() as service:
        answers = await with_node(service, list(THROWN_AT), {})
    for answer in answers:
        assert answer["raised"] == "OpenAIError"
        assert "missing content" in answer["message"]
    assert len(answers) == len(THROWN_AT)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_python_reads_repaired_searches_to_their_final_response() -> None:
    async with running() as service, python_client(f"{service.url}/v1", max_retries=0) as openai:
        for shape in SHAPES:
            if answer := await with_python(openai, shape):
                check(answer, shape)
