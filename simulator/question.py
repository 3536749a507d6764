"""Reads request bodies. Lenient: refusing them is the business of `validation`."""

from collections.abc import Iterator
from typing import Any, Final

Body = dict[str, Any]

# Parameters that come back in the response as they were sent, and their defaults.
_ECHOED: Final[Body] = {
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


def prompt_of(body: Body) -> str:
    """All text of the users, in order."""
    parts = (part for part in _parts(body) if part.get("type") in {"input_text", "text"})
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def image_urls(body: Body) -> Iterator[str]:
    """The URLs of the users' images, in order."""
    for part in _parts(body):
        url = part.get("image_url")
        if isinstance(url, dict):
            url = url.get("url")
        if part.get("type") in {"input_image", "image_url"} and isinstance(url, str):
            yield url


def messages(body: Body) -> list[Body]:
    """The input as a list of messages."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def tools(body: Body) -> list[Body]:
    """The tools that are objects."""
    given = body.get("tools")
    return [tool for tool in given if isinstance(tool, dict)] if isinstance(given, list) else []


def effort(body: Body) -> object:
    """The reasoning effort, if one is given."""
    reasoning = body.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else None


def may_search(body: Body) -> bool:
    """Whether the tool is offered to the model."""
    kinds = [tool.get("type") for tool in tools(body)]
    return "image_search" in kinds and body.get("tool_choice") != "none"


def reasons(body: Body) -> bool:
    """Whether the answer has reasoning items; the effort beats `enable_thinking`."""
    given = effort(body)
    return given != "none" if given else body.get("enable_thinking") is not False


def echoed(body: Body) -> Body:
    """The parameters that the response repeats."""
    given = {name: value for name, value in body.items() if value is not None}
    return {name: given.get(name, default) for name, default in _ECHOED.items()}


def _parts(body: Body) -> Iterator[Body]:
    for message in messages(body):
        content = message.get("content")
        if message.get("role", "user") != "user":
            continue
        if isinstance(content, str):
            yield {"type": "input_text", "text": content}
        elif isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))
