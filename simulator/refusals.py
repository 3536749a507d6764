"""Every failure that DashScope is known to report (`errors.csv`), and the bodies that carry it.

Codes and messages are the vendor's own, from its error page or from recorded calls. Clients tell
failures apart by them, so they are kept to the letter.
"""

import csv
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal, cast

# How a failure is sent: a flat HTTP error, an HTTP 200 with status "failed", an `error` event in
# a stream, OpenAI's nested HTTP error, and the nested error framed as an event.
Form = Literal["http", "failed", "frame", "nested", "sse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One failure. `form` is how it is usually sent."""

    slug: str
    status: int
    code: str
    message: str
    form: Form = "http"

    def flat(self, request_id: str) -> dict[str, Any]:
        """The HTTP error body of the Responses endpoint."""
        return {"code": self.code, "message": self.message, "request_id": request_id}

    def nested(self, request_id: str) -> dict[str, Any]:
        """The HTTP error body of the chat-compatible endpoints, shaped like OpenAI's."""
        fields = {"message": self.message, "type": self.code, "param": None, "code": self.code}
        return {"error": fields, "request_id": request_id}


class Refused(Exception):
    """The call ends with this failure."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str) -> Refused:
    """The exception for a refused parameter, with the vendor's usual code."""
    return Refused(Refusal("invalid", 400, "InvalidParameter", message))


def bare_response(response_id: str, created_at: int, **fields: object) -> dict[str, Any]:
    """A response object that knows neither its model nor its tools."""
    head = {"created_at": created_at, "id": response_id, "model": "", "object": "response"}
    tail = {"output": [], "parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    return {**head, **tail, **fields}


def compact(value: object) -> str:
    """JSON as the vendor writes it: no spaces, and no escapes for non-ASCII text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_TABLE: Final = resources.files(__package__).joinpath("errors.csv").read_text(encoding="utf-8")
REFUSALS: Final = {
    slug: Refusal(slug, int(status), code, message, cast("Form", form))
    for slug, status, code, form, message in list(csv.reader(_TABLE.splitlines()))[1:]
}
