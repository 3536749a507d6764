"""LangChain's `ChatOpenAI` and the Vercel AI SDK: what they read of a search, and what not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai import InternalServerError
from pydantic import SecretStr

from tests.clients.children import run_node
from tests.clients.openai_sdks import IMAGE_URL, PICTURE, TOOLS
from tests.service import Running, running


@asynccontextmanager
async def chatting(service: Running) -> AsyncIterator[ChatOpenAI]:
    with httpx.Client(trust_env=False) as unused:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            yield ChatOpenAI(
                model="qwen3.7-plus",
                use_responses_api=True,
                base_url=f"{service.url}/v1",
                api_key=SecretStr("any"),
                max_retries=0,
                http_client=unused,
                http_async_client=http,
            )


async def by_langchain(chat: ChatOpenAI, prompt: str) -> Any:
    image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
    question = HumanMessage([{"type": "text", "text": prompt}, image])
    whole: Any = None
    async for chunk in chat.bind(tools=TOOLS).astream([question]):
        whole = chunk if whole is None else whole + chunk
    return whole


async def by_ai_sdk(service: Running, prompt: str) -> Any:
    asked = {"BASE_URL": f"{service.url}/v1", "IMAGE_URL": IMAGE_URL, "PROMPT": prompt}
    return await run_node("ai_sdk", env=asked)


async def test_langchain_reads_a_search_to_its_end_without_pictures_and_calls() -> None:
    """As docs/clients.md says. When it knows the tool one day, correct it there."""
    async with running() as service, chatting(service) as chat:
        with pytest.raises(ValueError, match="Unsupported function"):
            chat.bind_tools(TOOLS)
        message = await by_langchain(chat, "What is this?")
        call = await service.last_call()
    assert call.tool_calls == 1
    assert PICTURE.title in message.text
    assert message.response_metadata["status"] == "completed"
    assert message.usage_metadata["total_tokens"] == call.input_tokens + call.output_tokens
    assert "image_search_call" not in {part["type"] for part in message.content}
    assert "x_tools" not in message.usage_metadata


async def test_the_ai_sdk_reads_a_search_to_its_end_and_its_tool_from_raw_chunks_alone() -> None:
    async with running() as service:
        answer = await by_ai_sdk(service, "What is this?")
        call = await service.last_call()
    assert call.tool_calls == 1
    assert (answer["errors"], answer["finish"]) == ([], "stop")
    assert answer["found"][0]["title"] == PICTURE.title
    assert PICTURE.title in answer["text"]
    assert answer["tokens"] == call.input_tokens + call.output_tokens
    assert not [part for part in answer["parts"] if part.startswith(("tool-", "source"))]


async def test_langchain_raises_failures_and_the_ai_sdk_reports_them_as_errors() -> None:
    async with running() as service, chatting(service) as chat:
        with pytest.raises(InternalServerError) as refused:
            await by_langchain(chat, "[sim http_500]")
        with pytest.raises(ValueError, match="upstream_interrupted"):
            await by_langchain(chat, "[sim cut_after_results]")
        early = await by_ai_sdk(service, "[sim http_500]")
        late = await by_ai_sdk(service, "[sim cut_after_results]")
    assert [refused.value.code] == early["errors"] == ["upstream_unavailable"]
    assert late["errors"] == ["The upstream's answer ended without a terminal event."]
    assert late["finish"] == "error"
