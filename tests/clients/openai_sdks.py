"""Asking through either official SDK, and what each says of the outcome, in the same words."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

from simulator.pictures import PICTURES
from tests.clients.children import run_node
from tests.service import GALLERY_URL

PICTURE = PICTURES[7]
IMAGE_URL = GALLERY_URL + PICTURE.name
TOOLS: Any = [{"type": "image_search"}]
"""DashScope's own, which the SDKs' types do not know."""


@dataclass(frozen=True)
class Row:
    """One request. `url`: the SDK's base URL."""

    url: str
    prompt: str
    stream: bool
    image: str | None = IMAGE_URL
    key: str = "any"
    model: str = "qwen3.7-plus"
    maxRetries: int = 0  # noqa: N815 - the SDK's own name, which Node reads as it is


@dataclass(frozen=True)
class Outcome:
    """What the SDK raised, or the type of the last event (of the whole answer: its status)."""

    raised: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    last: str | None = None


async def with_node(rows: Sequence[Row]) -> list[Outcome]:
    """All rows in one process of openai-node."""
    outcomes = await run_node("failures", given=[asdict(row) for row in rows])
    return [Outcome(**outcome) for outcome in outcomes]


async def with_python(rows: Sequence[Row]) -> list[Outcome]:
    """All rows with openai-python in this process."""
    return [await _ask(row) for row in rows]


BOTH = {"node": with_node, "python": with_python}


@asynccontextmanager
async def python_client(url: str, key: str = "any", **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """Openai-python, which reads no proxy from this machine's environment."""
    async with (
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(base_url=url, api_key=key, http_client=http, **options) as openai,
    ):
        yield openai


def content(prompt: str, image: str | None = IMAGE_URL) -> Any:
    """A user's message as the SDKs take it."""
    parts = [{"type": "input_text", "text": prompt}]
    if image is not None:
        parts.append({"type": "input_image", "image_url": image})
    return [{"role": "user", "content": parts}]


async def _ask(row: Row) -> Outcome:
    async with python_client(row.url, row.key, max_retries=row.maxRetries) as openai:
        try:
            answer: Any = await openai.responses.create(
                model=row.model,
                input=content(row.prompt, row.image),
                tools=TOOLS,
                stream=row.stream,
            )
            if not row.stream:
                return Outcome(last=f"response.{answer.status}")
            last: Any = None
            async for event in answer:
                last = event
        except APIStatusError as error:
            return Outcome(type(error).__name__, error.status_code, error.code, error.request_id)
        failure = last.response.error
        return Outcome(last=last.type, code=failure.code if failure else None)
