"""Values that pass between the layers inside the service. No I/O. See `results` for the API's."""

import hashlib
import json
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, NamedTuple

from opentelemetry.trace import INVALID_SPAN, Span

Status = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
Outcome = Literal["matched", "no_match", "tool_skipped"]
Phase = Literal["waiting", "thinking", "searching", "answering"]

UNITS_PER_CNY = 1_000_000_000  # Budgets are counted in integers, as scripts of Redis can.
SYNTHETIC_PREFIX = "search."  # Type prefix of the events that this service adds to the upstream's.


def well_formed(text: str) -> str:
    """The text without lone surrogates (no UTF-8): pairs are joined, others become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def json_bytes(value: Any) -> bytes:
    """Compact JSON text in UTF-8."""
    return well_formed(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `name` owns searches and spending, `rate_limit_key` counts the rate."""

    name: str
    rate_limit_key: str
    origin: str | None = None  # That its token is bound to.


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image as it is sent upstream; equal ones have equal digests however they were sent."""

    url: bytes = field(repr=False)  # `http(s)` or `data:`, ASCII without quotes and backslashes.
    digest: str  # SHA-256 of the bytes that were uploaded, or of an `http(s)` URL.


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A validated request to the Responses API."""

    payload: list[bytes] = field(repr=False)  # Parts of the JSON text; emptied when it was sent.
    model: str
    stream: bool = True
    background: bool = False
    image_count: int = 0
    input_chars: int = 0  # Of `instructions`, and of `input` without its images.
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    digest: str = ""  # Equal for requests that may share one answer.
    prompt: str | None = field(default=None, repr=False)  # Of a search.


class Event(NamedTuple):
    """A server-sent event: its type, and its `data` as UTF-8 JSON text."""

    type: str
    data: bytes

    @property
    def is_synthetic(self) -> bool:
        """Whether this service made it, not the upstream."""
        return self.type.startswith(SYNTHETIC_PREFIX)


@dataclass(slots=True)
class UpstreamCall:
    """State of one upstream call, for whoever has to settle it, also when it was cancelled."""

    written: bool = False  # In full, and not refused before its first event: it may be billed.
    span: Span = INVALID_SPAN  # Of the call, where it is traced.


@dataclass(slots=True)
class Permit:
    """The money of an admitted search, in units of 1e-9 CNY."""

    estimate: str  # Of what is reserved, as JSON: for whoever has to settle it in our place.
    reserved: int
    spent: int = 0  # Known at the end.


def units(money: Decimal) -> int:
    """An amount in CNY in units of 1e-9 CNY; never less than it is."""
    return int((money * UNITS_PER_CNY).to_integral_value(ROUND_CEILING))


def digest_of(*parts: object) -> str:
    """SHA-256 of values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
