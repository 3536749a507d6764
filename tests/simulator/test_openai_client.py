"""The official client, pointed straight at the simulator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    DefaultAsyncHttpxClient,
    RateLimitError,
)

from simulator import create_app
from simulator.serving import serving
from tests.simulator.asking import QUICK, data_url, own


@asynccontextmanager
async def client(key: str = QUICK.key) -> AsyncIterator[AsyncOpenAI]:
    async with (
        serving(create_app(QUICK)) as url,
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(
            api_key=key, base_url=f"{url}/compatible-mode/v1", http_client=http, max_retries=0
        ) as openai,
    ):
        yield openai


def images(url: str, prompt: str) -> Any:
    return [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": prompt},
                {"type": "input_image", "image_url": url},
            ],
        }
    ]


TOOLS: Any = [{"type": "image_search"}]


async def test_search_by_image_without_streaming() -> None:
    async with client() as openai:
        response = await openai.responses.create(
            model="qwen3.7-plus",
            input=images(own("gold-dunes"), "Find landscapes in this style."),
            tools=TOOLS,
        )
    items: list[Any] = list(response.output)
    call = next(item for item in items if item.type == "image_search_call")
    results = json.loads(call.output)
    assert results[0]["title"] == "Golden dunes at midday 沙丘"
    assert results[0]["title"] in response.output_text
    usage: Any = response.usage
    assert usage.x_tools["image_search"]["count"] == 1
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


async def test_search_by_image_with_streaming() -> None:
    results: list[dict[str, Any]] = []
    text = ""
    usage: Any = None
    async with client() as openai:
        stream = await openai.responses.create(
            model="qwen3.7-plus",
            input=images(data_url("sunflower", scale=0.5), "Which flower is it?"),
            tools=TOOLS,
            stream=True,
        )
        async for event in stream:
            seen: Any = event
            if event.type == "response.output_item.done":
                if seen.item.type == "image_search_call":
                    results = json.loads(seen.item.output)
            elif event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.completed":
                usage = event.response.usage
                assert event.response.output_text == text
    assert results[0]["title"] == "A sunflower against the sky 向日葵"
    assert "simulated" in text
    assert usage.x_tools["image_search"]["count"] == 1


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with client("sk-wrong") as openai:
        with pytest.raises(AuthenticationError) as caught:
            await openai.responses.create(model="qwen3.7-plus", input="Hello")
    assert caught.value.code == "InvalidApiKey"
    assert caught.value.request_id


async def test_refusals_and_throttling_become_the_clients_own_errors() -> None:
    async with client() as openai:
        with pytest.raises(BadRequestError):
            await openai.responses.create(model="nobody", input="Hello")
        with pytest.raises(RateLimitError):
            await openai.responses.create(model="qwen3.7-plus", input="Hello [sim http_429]")


async def test_stored_responses_and_models_are_readable_with_the_client() -> None:
    async with client() as openai:
        made = await openai.responses.create(
            model="qwen3.7-plus", input=images(own("plums"), "These?"), tools=TOOLS
        )
        assert (await openai.responses.retrieve(made.id)).output_text == made.output_text
        listed = await openai.responses.input_items.list(made.id)
        assert len(listed.data) == 1
        await openai.responses.delete(made.id)
        assert "qwen3.7-plus" in [model.id async for model in openai.models.list()]
