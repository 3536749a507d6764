"""The vendor's envelopes for a failure: flat, OpenAI-shaped, and a failed response. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simulator.refusal import Refusal

_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact(value: Any) -> str:
    """JSON as the vendor writes it: no spaces, and no escapes for non-ASCII text."""
    return _COMPACT.encode(value)


def flat(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The Responses endpoint's own HTTP error."""
    return {"code": refusal.code, "message": refusal.message, "request_id": request_id}


def nested(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The error of the chat-compatible endpoints, shaped like OpenAI's."""
    error = {
        "message": refusal.message,
        "type": refusal.code,
        "param": None,
        "code": refusal.code,
    }
    return {"error": error, "request_id": request_id}


def failed(refusal: Refusal, *, response_id: str, created_at: int) -> dict[str, Any]:
    """A response that failed though HTTP says 200."""
    return {
        "created_at": created_at,
        "error": {"code": refusal.code, "message": refusal.message},
        "id": response_id,
        "model": "",
        "object": "response",
        "output": [],
        "parallel_tool_calls": False,
        "status": "failed",
        "tool_choice": "auto",
        "tools": [],
    }
