"""Refusing a request body in the vendor's words (its recorded 400 answers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.refusal import Refused, invalid
from simulator.refusals import REFUSALS

if TYPE_CHECKING:
    from simulator.store import Store

# The vendor's Responses list as of late 2026; the tool excludes qwen3.6-27b by name.
MODELS: Final = (
    "qwen3.8-max",
    "qwen3.8-max-0902",
    "qwen3.8-flash",
    "qwen3.8-2.4t-a95b",
    "qwen3.8-27b",
    "qwen3.7-max",
    "qwen3.7-max-2026-05-17",
    "qwen3.7-max-2026-05-20",
    "qwen3.7-max-2026-06-08",
    "qwen3.7-max-preview",
    "qwen3-max",
    "qwen3-max-2026-01-23",
    "qwen3.7-plus",
    "qwen3.7-plus-2026-05-26",
    "qwen3.6-plus",
    "qwen3.6-plus-2026-04-02",
    "qwen3.5-plus",
    "qwen3.5-plus-2026-04-20",
    "qwen3.5-plus-2026-02-15",
    "qwen3.7-flash",
    "qwen3.7-flash-2026-07-15",
    "qwen3.6-flash",
    "qwen3.6-flash-2026-04-16",
    "qwen3.5-flash",
    "qwen3.5-flash-2026-02-23",
    "qwen3.6-35b-a3b",
    "qwen3.5-397b-a17b",
    "qwen3.5-122b-a10b",
    "qwen3.5-27b",
    "qwen3.5-35b-a3b",
)
MAX_OUTPUT_TOKENS_MIN: Final = 16
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def validate(body: dict[str, Any], store: Store) -> None:
    """Check everything but the images.

    Raises:
        Refused: with the first thing that is wrong.
    """
    _check_model(body)
    if not isinstance(body.get("input"), str | list):
        raise Refused(
            invalid("[400] missing_required_parameter: Missing required parameter: 'input'.")
        )
    _check_numbers(body)
    _check_reasoning(body.get("reasoning"))
    if body.get("store") is not None and not isinstance(body["store"], bool):
        raise Refused(invalid(f"Invalid 'store': {body['store']}. Must be a boolean."))
    _check_tools(body.get("tools"))
    _check_previous(body, store)


def _check_model(body: dict[str, Any]) -> None:
    model = body.get("model")
    if not model:
        raise Refused(REFUSALS["bracket_400"])
    if model not in MODELS:
        raise Refused(invalid(f"Unsupported model: '{model}'"))


def _check_numbers(body: dict[str, Any]) -> None:
    tokens = body.get("max_output_tokens")
    if tokens is not None and not (_is_number(tokens) and tokens >= MAX_OUTPUT_TOKENS_MIN):
        raise Refused(
            invalid(
                "Invalid 'max_output_tokens': must be greater than or equal to "
                f"{MAX_OUTPUT_TOKENS_MIN}, got {tokens}."
            )
        )
    warmth = body.get("temperature")
    if warmth is not None and not (_is_number(warmth) and 0 <= warmth < 2):  # noqa: PLR2004 - the message below says it
        raise Refused(invalid(_outside("temperature", warmth, "[0,2)")))
    share = body.get("top_p")
    if share is not None and not (_is_number(share) and 0 < share <= 1):
        raise Refused(invalid(_outside("top_p", share, "(0,1]")))


def _outside(name: str, value: object, bounds: str) -> str:
    return f"Invalid '{name}': {value}. Expected a value between {bounds}, but got {value} instead."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_reasoning(reasoning: object) -> None:
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    if effort is not None and effort not in _EFFORTS:
        known = ",".join(f"'{each}'" for each in _EFFORTS)
        raise Refused(
            invalid(f"Invalid 'reasoning.effort': {effort}. Supported values are: ({known}).")
        )


def _check_tools(tools: object) -> None:
    """Unknown types pass; a lone extractor and a nested function do not."""
    kinds = (
        [tool.get("type") for tool in tools if isinstance(tool, dict)]
        if isinstance(tools, list)
        else []
    )
    if "web_extractor" in kinds and "web_search" not in kinds:
        raise Refused(REFUSALS["web_extractor"])
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
            raise Refused(
                invalid(
                    "<400> InternalError.Algo.InvalidParameter: The parameters, when provided as "
                    "a dict, must confirm to a valid openai-compatible JSON schema."
                )
            )


def _check_previous(body: dict[str, Any], store: Store) -> None:
    previous = body.get("previous_response_id")
    if previous is None:
        return
    if body.get("conversation") is not None:
        raise Refused(
            invalid(
                "Mutually exclusive parameters: Ensure you are only providing one of: "
                "previous_response_id or conversation."
            )
        )
    if not isinstance(previous, str) or store.find(previous) is None:
        raise Refused(invalid(f"Not found previous_response_id: {previous}"))
