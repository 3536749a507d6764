"""Refuses requests in the vendor's words (its recorded 400 and 401 answers)."""

import secrets
from typing import Any, Final

from starlette.datastructures import Headers

from simulator import question
from simulator.refusals import REFUSALS, Refused, invalid

# The vendor's Responses list as of late 2026; the tool excludes qwen3.6-27b by name.
MODELS: Final = """
    qwen3.8-max qwen3.8-max-0902 qwen3.8-flash qwen3.8-2.4t-a95b qwen3.8-27b
    qwen3.7-max qwen3.7-max-2026-05-17 qwen3.7-max-2026-05-20 qwen3.7-max-2026-06-08
    qwen3.7-max-preview qwen3-max qwen3-max-2026-01-23
    qwen3.7-plus qwen3.7-plus-2026-05-26 qwen3.6-plus qwen3.6-plus-2026-04-02
    qwen3.5-plus qwen3.5-plus-2026-04-20 qwen3.5-plus-2026-02-15
    qwen3.7-flash qwen3.7-flash-2026-07-15 qwen3.6-flash qwen3.6-flash-2026-04-16
    qwen3.5-flash qwen3.5-flash-2026-02-23
    qwen3.6-35b-a3b qwen3.5-397b-a17b qwen3.5-122b-a10b qwen3.5-27b qwen3.5-35b-a3b
    """.split()  # noqa: SIM905 - readable so
MAX_OUTPUT_TOKENS_MIN: Final = 16
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def check_key(headers: Headers, key: str) -> None:
    """Raise `Refused` unless the request has our bearer key."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not given.strip() or scheme.lower() != "bearer":
        raise Refused(REFUSALS["key_missing"])
    if not secrets.compare_digest(given.strip().encode(), key.encode()):
        raise Refused(REFUSALS["key_invalid"])


def validate(body: dict[str, Any]) -> None:
    """Raise `Refused` for anything wrong but images and the response that is followed."""
    model, effort = body.get("model"), question.effort(body)
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
    _check_tools(question.tools(body))
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        raise invalid(
            "Mutually exclusive parameters: Ensure you are only providing one of: "
            "previous_response_id or conversation."
        )


def _check_numbers(body: dict[str, Any]) -> None:
    if not _number(body, "max_output_tokens", MAX_OUTPUT_TOKENS_MIN) >= MAX_OUTPUT_TOKENS_MIN:
        raise invalid(
            "Invalid 'max_output_tokens': must be greater than or equal to "
            f"{MAX_OUTPUT_TOKENS_MIN}, got {body['max_output_tokens']}."
        )
    if not 0 <= _number(body, "temperature", 1) < 2:  # noqa: PLR2004 - the message says it
        raise _outside(body, "temperature", "[0,2)")
    if not 0 < _number(body, "top_p", 1) <= 1:
        raise _outside(body, "top_p", "(0,1]")


def _number(body: dict[str, Any], name: str, default: float) -> float:
    """A number in the body; NaN, which is in no range, for anything else."""
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else float("nan")


def _outside(body: dict[str, Any], name: str, bounds: str) -> Refused:
    expected = f"Expected a value between {bounds}, but got {body[name]} instead."
    return invalid(f"Invalid '{name}': {body[name]}. {expected}")


def _check_tools(tools: list[dict[str, Any]]) -> None:
    """Unknown types pass; a lone extractor and a nested function do not."""
    kinds = [tool.get("type") for tool in tools]
    if "web_extractor" in kinds and "web_search" not in kinds:
        raise Refused(REFUSALS["web_extractor"])
    if any(isinstance(tool.get("function"), dict) for tool in tools):
        raise invalid(
            "<400> InternalError.Algo.InvalidParameter: The parameters, when provided as a dict, "
            "must confirm to a valid openai-compatible JSON schema."
        )
