"""What programs with the official SDKs ask, and openai-python in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from simulator.pictures import PICTURES
from tests.service import GALLERY_URL

PICTURE = PICTURES[7]
IMAGE_URL = GALLERY_URL + PICTURE.name
TOOLS: Any = [{"type": "image_search"}]
"""DashScope's own, which the SDKs' types do not know."""


@asynccontextmanager
async def python_client(url: str, key: str = "any", retries: int = 0) -> AsyncIterator[AsyncOpenAI]:
    """Openai-python, which reads no proxy from this machine's environment."""
    async with (
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(base_url=url, api_key=key, http_client=http, max_retries=retries) as openai,
    ):
        yield openai


def content(prompt: str, image: str = IMAGE_URL) -> Any:
    """A user's message as the SDKs take it."""
    text = {"type": "input_text", "text": prompt}
    return [{"role": "user", "content": [text, {"type": "input_image", "image_url": image}]}]
