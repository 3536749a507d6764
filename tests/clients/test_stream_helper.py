"""`responses.stream()` of both SDKs reads a whole search to its final response, when repaired."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from simulator.pictures import PICTURES
from tests.clients.children import run_node
from tests.service import GALLERY_URL, Running, running

PICTURE = PICTURES[7]
IMAGE_URL = GALLERY_URL + PICTURE.name
REPAIR = {"X-Stream-Repair": "openai"}
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
THROWN_AT = {"normal": "missing content", "reasoning_summary_text": "missing content"}


async def with_node(service: Running, shapes: list[str], headers: dict[str, str]) -> list[Any]:
    given = {"prompts": [f"[sim {shape}]" for shape in shapes], "image": IMAGE_URL}
    base_url = f"{service.url}/v1"
    ended = await run_node("helper", given=given | {"headers": headers}, BASE_URL=base_url)
    assert ended.status == 0, ended.err
    told: list[Any] = json.loads(ended.out)
    return told


async def with_python(openai: AsyncOpenAI, shape: str) -> dict[str, Any]:
    content: Any = [
        {"type": "input_text", "text": f"[sim {shape}]"},
        {"type": "input_image", "image_url": IMAGE_URL},
    ]
    tools: Any = [{"type": "image_search"}]
    reasoning = ""
    async with openai.responses.stream(
        model="qwen3.7-plus",
        input=[{"role": "user", "content": content}],
        tools=tools,
        extra_headers=REPAIR,
    ) as stream:
        async for event in stream:
            if event.type in (
                "response.reasoning_text.delta",
                "response.reasoning_summary_text.delta",
            ):
                reasoning += event.delta
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


def check(told: dict[str, Any], shape: str) -> None:
    assert told["types"] == SHAPES[shape], told
    assert told["status"] == ("incomplete" if shape == "incomplete" else "completed")
    assert told["text"]
    assert bool(told["reasoning"]) is (shape != "no_reasoning")


async def test_node_reads_repaired_searches_to_their_final_response() -> None:
    async with running() as service:
        answers = await with_node(service, list(SHAPES), REPAIR)
    for shape, told in zip(SHAPES, answers, strict=True):
        assert "raised" not in told, (shape, told)
        check(told, shape)


async def test_node_throws_where_nothing_is_repaired() -> None:
    """Else the repair, and its test, would do nothing."""
    async with running() as service:
        answers = await with_node(service, list(THROWN_AT), {})
    for message, told in zip(THROWN_AT.values(), answers, strict=True):
        assert told["raised"] == "OpenAIError"
        assert message in told["message"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_python_reads_repaired_searches_to_their_final_response() -> None:
    async with (
        running() as service,
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(
            base_url=f"{service.url}/v1", api_key="any", http_client=http, max_retries=0
        ) as openai,
    ):
        for shape in SHAPES:
            if told := await with_python(openai, shape):
                check(told, shape)
