"""LangChain's `ChatOpenAI` on the Responses API: what it reads of a search, and what not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from openai import InternalServerError
from pydantic import SecretStr

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


def question(prompt: str = "What is this?") -> list[HumanMessage]:
    image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
    return [HumanMessage([{"type": "text", "text": prompt}, image])]


async def streamed(model: Runnable[LanguageModelInput, AIMessage], prompt: str) -> Any:
    whole: Any = None
    async for chunk in model.astream(question(prompt)):
        whole = chunk if whole is None else whole + chunk
    return whole


async def test_a_streamed_search_comes_to_its_end() -> None:
    async with running() as service, chatting(service) as chat:
        message = await streamed(chat.bind(tools=TOOLS), "What is this?")
        await service.record.idle()
        call = service.record.calls[-1]
    assert call.tool_calls == 1
    assert PICTURE.title in message.text
    assert message.response_metadata["status"] == "completed"
    assert message.usage_metadata["total_tokens"] == call.input_tokens + call.output_tokens


async def test_a_search_that_is_waited_for_comes_whole() -> None:
    async with running() as service, chatting(service) as chat:
        message = await chat.bind(tools=TOOLS).ainvoke(question())
    assert PICTURE.title in message.text
    assert message.response_metadata["status"] == "completed"


async def test_what_it_lacks() -> None:
    """As docs/clients.md says. When one of these fails, LangChain knows it: correct it there."""
    async with running() as service, chatting(service) as chat:
        with pytest.raises(ValueError, match="Unsupported function"):
            chat.bind_tools(TOOLS)
        message = await streamed(chat.bind(tools=TOOLS), "What is this?")
    assert "image_search_call" not in {part["type"] for part in message.content}
    assert "x_tools" not in message.usage_metadata


async def test_failures_raise() -> None:
    async with running() as service, chatting(service) as chat:
        searching = chat.bind(tools=TOOLS)
        with pytest.raises(InternalServerError) as refused:
            await streamed(searching, "[sim http_500]")
        assert refused.value.code == "upstream_unavailable"
        with pytest.raises(ValueError, match="upstream_interrupted"):
            await streamed(searching, "[sim cut_after_results]")
