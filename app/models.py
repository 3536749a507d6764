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
    """The text without lone surrogates, which JSON can hold and UTF-8 cannot.

    Halves of a pair that were cut apart are joined; others become U+FFFD.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


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
    """An image as it is sent upstream: an `http(s)` or `data:` URL, and a digest.

    The URL is ASCII without quotes and backslashes. The digest is the SHA-256 of the uploaded bytes
    (for an `http(s)` URL, of the URL): equal images have equal ones however they were sent.
    """

    url: bytes = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A validated request to the Responses API.

    `payload` has the parts of the JSON text that is sent upstream; it is emptied when they are not
    needed any more. `input_chars` counts the characters of `instructions` and `input` without its
    pictures; `digest` is equal for requests that may share one answer; `prompt` is a search's.
    """

    payload: list[bytes] = field(repr=False)
    model: str
    stream: bool = True
    background: bool = False
    image_count: int = 0
    input_chars: int = 0
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    digest: str = ""
    prompt: str | None = field(default=None, repr=False)


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
    """State of one upstream call, for whoever has to settle it, also when it was cancelled.

    The upstream client sets `written` as soon as a request has been fully written, and clears it
    when that attempt was refused before its first event, so that nothing was billed.
    """

    written: bool = False
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
