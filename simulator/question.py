"""Reads request bodies. Lenient: refusing them is the business of `validation`."""

from collections.abc import Iterator
from typing import Any, Final

Body = dict[str, Any]

# Parameters that come back in the response as they were sent, and their defaults.
_ECHOED: Final[Body] = (
    {"frequency_penalty": 0.0, "presence_penalty": 0.0, "temperature": 1.0, "top_p": 1.0}
    | {"max_output_tokens": None, "metadata": {}, "parallel_tool_calls": False, "reasoning": None}
    | {"service_tier": "default", "store": True, "tool_choice": "auto", "tools": []}
    | {"top_logprobs": 0}
)


def prompt_of(body: Body) -> str:
    """All text of the users, in order."""
    parts = (part for part in _parts(body) if part.get("type") in {"input_text", "text"})
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def image_urls(body: Body) -> Iterator[str]:
    """The URLs of the users' images, in order."""
    for part in _parts(body):
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if part.get("type") in {"input_image", "image_url"} and isinstance(url, str):
            yield url


def messages(body: Body) -> list[Body]:
    """The input as a list of messages."""
    if isinstance(body.get("input"), str):
        return [{"role": "user", "content": body["input"]}]
    return _objects(body.get("input"))


def tools(body: Body) -> list[Body]:
    """The tools that are objects."""
    return _objects(body.get("tools"))


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
    return _ECHOED | {name: body[name] for name in _ECHOED if body.get(name) is not None}


def _parts(body: Body) -> Iterator[Body]:
    for message in messages(body):
        content = message.get("content")
        if message.get("role", "user") == "user":
            text = [{"type": "input_text", "text": content}] if isinstance(content, str) else []
            yield from text or _objects(content)


def _objects(value: object) -> list[Body]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
