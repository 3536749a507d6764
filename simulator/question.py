"""Reads request bodies, and refuses bad ones in the vendor's words (its recorded 400 and 401)."""

import secrets
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from starlette.datastructures import Headers

from simulator.refusals import REFUSALS, Refused, invalid

Body = dict[str, Any]

# The vendor's Responses list as of late 2026; the tool excludes qwen3.6-27b by name.
MODELS: Final = resources.files(__package__).joinpath("models.txt").read_text().split()
MAX_OUTPUT_TOKENS_MIN: Final = 16
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Parameters that come back in the response as they were sent, and their defaults.
_ECHOED: Final[Body] = (
    {"frequency_penalty": 0.0, "presence_penalty": 0.0, "temperature": 1.0, "top_p": 1.0}
    | {"max_output_tokens": None, "metadata": {}, "parallel_tool_calls": False, "reasoning": None}
    | {"service_tier": "default", "store": True, "tool_choice": "auto", "tools": []}
    | {"top_logprobs": 0}
)


def check_key(headers: Headers, key: str) -> None:
    """Raise `Refused` unless the request has our bearer key."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not given.strip() or scheme.lower() != "bearer":
        raise Refused(REFUSALS["key_missing"])
    if not secrets.compare_digest(given.strip().encode(), key.encode()):
        raise Refused(REFUSALS["key_invalid"])


def validate(body: Body) -> None:
    """Raise `Refused` for anything wrong but images and the response that is followed."""
    model, effort = body.get("model"), effort_of(body)
    if not model:
        raise Refused(REFUSALS["bracket_400"])
    if model not in MODELS:
        raise invalid(f"Unsupported model: '{model}'")
    if not isinstance(body.get("input"), str | list):
        raise invalid("[400] missing_required_parameter: Missing required parameter: 'input'.")
    _check_numbers(body)
    if effort is not None and effort not in _EFFORTS:
        known = ",".join(f"'{each}'" for each in _EFFORTS)
        raise invalid(f"Invalid 'reasoning.effort': {effort}. Supported values are: ({known}).")
    if not isinstance(body.get("store"), bool | None):
        raise invalid(f"Invalid 'store': {body['store']}. Must be a boolean.")
    _check_tools(tools_of(body))
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        raise invalid(
            "Mutually exclusive parameters: Ensure you are only providing one of: "
            "previous_response_id or conversation."
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
    """The messages of the input, with their content in parts."""
    given = body.get("input")
    given = [{"content": given}] if isinstance(given, str) else _objects(given)
    return [_message(each.get("role", "user"), each.get("content")) for each in given]


def _message(role: object, content: object) -> Body:
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {"content": _objects(parts), "role": role, "status": "completed", "type": "message"}


def tools_of(body: Body) -> list[Body]:
    """The tools that are objects."""
    return _objects(body.get("tools"))


def effort_of(body: Body) -> object:
    """The reasoning effort, if one is given."""
    reasoning = body.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else None


def may_search(body: Body) -> bool:
    """Whether the tool is offered to the model."""
    kinds = [tool.get("type") for tool in tools_of(body)]
    return "image_search" in kinds and body.get("tool_choice") != "none"


def reasons(body: Body) -> bool:
    """Whether the answer has reasoning items; the effort beats `enable_thinking`."""
    given = effort_of(body)
    return given != "none" if given else body.get("enable_thinking") is not False


def echoed(body: Body) -> Body:
    """The parameters that the response repeats."""
    return _ECHOED | {name: body[name] for name in _ECHOED if body.get(name) is not None}


def _check_numbers(body: Body) -> None:
    if not _number(body, "max_output_tokens", MAX_OUTPUT_TOKENS_MIN) >= MAX_OUTPUT_TOKENS_MIN:
        raise invalid(
            "Invalid 'max_output_tokens': must be greater than or equal to "
            f"{MAX_OUTPUT_TOKENS_MIN}, got {body['max_output_tokens']}."
        )
    if not 0 <= _number(body, "temperature", 1) < 2:  # noqa: PLR2004 - the message says it
        raise _outside(body, "temperature", "[0,2)")
    if not 0 < _number(body, "top_p", 1) <= 1:
        raise _outside(body, "top_p", "(0,1]")


def _number(body: Body, name: str, default: float) -> float:
    """A number in the body; NaN, which is in no range, for anything else."""
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else float("nan")


def _outside(body: Body, name: str, bounds: str) -> Refused:
    expected = f"Expected a value between {bounds}, but got {body[name]} instead."
    return invalid(f"Invalid '{name}': {body[name]}. {expected}")


def _check_tools(tools: list[Body]) -> None:
    """Unknown types pass; a lone extractor and a nested function do not."""
    kinds = [tool.get("type") for tool in tools]
    if "web_extractor" in kinds and "web_search" not in kinds:
        raise Refused(REFUSALS["web_extractor"])
    if any(isinstance(tool.get("function"), dict) for tool in tools):
        raise invalid(
            "<400> InternalError.Algo.InvalidParameter: The parameters, when provided as a dict, "
            "must confirm to a valid openai-compatible JSON schema."
        )


def _parts(body: Body) -> list[Body]:
    users = (each["content"] for each in messages(body) if each["role"] == "user")
    return [part for content in users for part in content]


def _objects(value: object) -> list[Body]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
