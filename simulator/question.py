"""What a request body asks. Reading is lenient: refusing is the business of `validation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.scenarios import without_wishes

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parameters that come back in the response as they were sent, whatever they mean.
_DEFAULTS: Final[dict[str, Any]] = {
    "frequency_penalty": 0.0,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": False,
    "presence_penalty": 0.0,
    "reasoning": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        prompt: the users' text without scenario wishes.
        max_words: `max_output_tokens`, counted in words here.
        messages: the input as a list.
        echoed: parameters that come back as they were sent.
    """

    model: str
    stream: bool
    prompt: str
    image_urls: tuple[str, ...]
    may_search: bool
    thinks: bool
    max_words: int | None
    store: bool
    previous_response_id: str | None
    messages: list[dict[str, Any]]
    echoed: dict[str, Any]


def read_question(body: dict[str, Any]) -> Question:
    """The question in a valid body."""
    tools = body.get("tools")
    kinds = [tool.get("type") for tool in tools or [] if isinstance(tool, dict)]
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return Question(
        model=body["model"],
        stream=body.get("stream") is True,
        prompt=without_wishes(read_prompt(body)),
        image_urls=tuple(_image_urls(body)),
        may_search="image_search" in kinds and body.get("tool_choice") != "none",
        thinks=effort != "none" if effort else body.get("enable_thinking") is not False,
        max_words=body.get("max_output_tokens"),
        store=body.get("store") is not False,
        previous_response_id=body.get("previous_response_id"),
        messages=_messages(body),
        echoed={
            name: default if body.get(name) is None else body[name]
            for name, default in _DEFAULTS.items()
        },
    )


def read_prompt(body: dict[str, Any]) -> str:
    """All text of the users in it, in order."""
    texts = [
        part.get("text") for part in _parts(body) if part.get("type") in {"input_text", "text"}
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in _messages(body):
        content = message.get("content")
        if message.get("role", "user") != "user":
            continue
        if isinstance(content, str):
            yield {"type": "input_text", "text": content}
        elif isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


def _image_urls(body: dict[str, Any]) -> Iterator[str]:
    for part in _parts(body):
        url = part.get("image_url")
        if isinstance(url, dict):
            url = url.get("url")
        if part.get("type") in {"input_image", "image_url"} and isinstance(url, str):
            yield url
