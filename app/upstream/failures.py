"""What the upstream says of a failure, in any of its envelopes, as one of our errors. Pure.

DashScope reports one failure in many ways: an HTTP status with a flat or an OpenAI-shaped body, a
body with `status: "failed"` under HTTP 200, a `response.failed` event, a flat `error` event; and a
message may begin with the status that is meant: `<429> …`, `[400] …`. Which of our errors it is,
`error_table.toml` says row by row.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, TypeAdapter

from app import errors
from app.errors import InvalidRequest, ServiceError, UpstreamInterrupted, UpstreamProtocol
from app.models import well_formed
from app.upstream.lenient import Json, as_object, parse_object

FAILED = "response.failed"
EARLIER_RESPONSE = "previous_response_id"
HTTP_OK, HTTP_REDIRECTS, HTTP_NOT_FOUND = 200, 300, 404
PARTIAL_HEADER = "x-dashscope-partialresponse"
CUT = "The upstream cut its own answer at a time limit."
BODY_MEMBERS = {"output", "data", "deleted"}  # Of a response, a list of items, a deletion.
MESSAGE_MAX_CHARS, CODE_MAX_CHARS = 500, 128
"""Enough for every documented one; they bound a log line and a problem body."""
RETRY_AFTER_MAX_S = 3600  # A throttled account recovers within a minute; longer is a mistake.
# `<429> InternalError.Algo: …`, `[400] missing_required_parameter: …`.
EMBEDDED = re.compile(r"\s*(?:<(\d{3})>|\[(\d{3})\])\s*(?:([A-Za-z_][\w.]*)\s*:)?")
FRAMED = re.compile(rb"^data: ?(.+?)\r?$", re.MULTILINE)
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w=-]+)*,[\w+/=%-]*")
URL_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
TIMED_OUT = re.compile(r"timed?.?out", re.IGNORECASE)
DETAILS: dict[type[ServiceError], str] = {  # Where the title says too little.
    errors.ImageDimensions: "An image's dimensions are not accepted upstream.",
    errors.ImageTooLarge: "An image is too large for the upstream.",
    errors.ImageUnfetchable: "The upstream could not download or decode an image.",
    errors.UpstreamTimeout: "The upstream gave up at its own limit on the total time.",
}
REASONS = {  # Why a field is refused.
    "prompt": "longer than the model takes, or with a reserved token in it",
    "max_output_tokens": "out of the model's range",
    EARLIER_RESPONSE: "the upstream knows no such response",
}
BY_CODE = {leaf.code: leaf for leaf in errors.leaves()}

Headers = Mapping[str, str]  # By lower-case name, or by any name where it ignores case.


class Row(BaseModel, extra="forbid"):
    """Fits a failure by one of its codes, by its message, or by its status."""

    error: Annotated[type[ServiceError], BeforeValidator(BY_CODE.__getitem__)]
    source: str
    codes: list[re.Pattern[str]] = []
    messages: list[re.Pattern[str]] = []
    statuses: re.Pattern[str] = re.compile("(?!)")
    within: re.Pattern[str] = re.compile("")
    field: str = ""

    def make(self, status: str, codes: Sequence[str], message: str) -> ServiceError | None:
        """The error for this failure, if the row fits."""
        found = filter(None, (one.search(message) for one in self.messages))
        fits = next(found, None) if self.within.match(status) else None
        if fits and self.error is InvalidRequest:
            field = self.field or fits["field"]
            return InvalidRequest.of(field, REASONS.get(field, "the upstream refused the value"))
        coded = any(one.fullmatch(code) for one in self.codes for code in codes)
        if fits or coded or self.statuses.fullmatch(status):
            return self.error(DETAILS.get(self.error, ""))
        return None


TABLE = tomllib.loads(Path(__file__).with_name("error_table.toml").read_text("utf-8"))
ROWS = TypeAdapter(list[Row]).validate_python(TABLE["rows"])


def failure_in_response(
    status: int, headers: Headers, body: bytes, *, is_lookup: bool = False
) -> ServiceError:
    """The error in a response, of which `body` may be cut off; one looked up may not exist."""
    # A body may be framed as an event, whatever its type says.
    data = next(filter(parse_object, [body, *FRAMED.findall(body)]), body)
    error = failure_in(data, headers, status)
    unknown = any(one.field == EARLIER_RESPONSE for one in error.fields)
    if is_lookup and (unknown or status == HTTP_NOT_FOUND):
        detail = "No such response, or it is no longer kept."
        return errors.SearchNotFound(detail, upstream=error.upstream)
    if status < HTTP_REDIRECTS and not is_failure(parse_object(data) or {}):
        wrong = UpstreamProtocol("The upstream sent no event stream.", upstream=error.upstream)
        wrong.usage = error.usage
        return wrong
    return error


def failure_in_body(headers: Headers, body: bytes, *, is_lookup: bool) -> ServiceError | None:
    """The error in a JSON body under HTTP 200; a response that was looked up and failed is none."""
    content = parse_object(body)
    if headers.get(PARTIAL_HEADER) == "true":
        error = UpstreamInterrupted(CUT)
        error.usage = as_object((content or {}).get("usage"))
        return error
    if content is None and body.strip()[:1] in (b"", b"{"):
        return UpstreamInterrupted("The upstream's answer ended early.")
    if content is None or (is_failure(content) and not (is_lookup and "output" in content)):
        return failure_in_response(HTTP_OK, headers, body, is_lookup=is_lookup)
    if BODY_MEMBERS.isdisjoint(content):
        return UpstreamProtocol("The upstream answered with something that is no response.")
    return None


def is_failure(content: Json) -> bool:
    """Whether a body, or the data of an event, reports a failure, whatever its status or name."""
    status = as_object(content.get("response")).get("status") or content.get("status")
    coded = isinstance(content.get("code"), str) and "message" in content
    return status == "failed" or bool(content.get("error")) or coded


def failure_in(data: bytes, headers: Headers, http_status: int, name: str = "") -> ServiceError:
    """The error in a body, or in the data of an event; of the envelopes, nested ones unwrapped."""
    content = parse_object(data) or {"message": data.decode(errors="replace")}
    outer = as_object(content.get("response")) or content
    inner = as_object(outer.get("error")) or outer
    message = _word("error", outer) or _word("message", inner)
    embedded = EMBEDDED.match(message)
    status = int(embedded[1] or embedded[2]) if embedded else http_status
    code = (_word("code", inner, outer) or _word("type", inner))[:CODE_MAX_CHARS]
    codes = (code, (embedded[3] or "")[:CODE_MAX_CHARS] if embedded else "")
    request_id = _word("request_id", content, inner) or headers.get("x-request-id", "")
    error = _classify(status, codes, message, has_usage=bool(outer.get("usage")))
    # One short line without images and signed URLs, for logs and callers.
    shown = URL_QUERY.sub(r"\1?…", DATA_URL.sub("data:…", message[: 8 * MESSAGE_MAX_CHARS]))
    shown = " ".join(shown.split())[:MESSAGE_MAX_CHARS]
    error.upstream = errors.UpstreamReport(
        status, code or None, shown or None, request_id[:CODE_MAX_CHARS] or None
    )
    error.retry_after_s = _retry_after_s(headers)
    if FAILED in (name, content.get("type")):
        # A carriage return would end a line of the stream that it is relayed in.
        error.upstream_event = (FAILED, data.replace(b"\r", b" "))
    error.usage = as_object(outer.get("usage")) or as_object(inner.get("usage"))
    return error


def _classify(status: int, codes: Sequence[str], message: str, *, has_usage: bool) -> ServiceError:
    """Our error for what the upstream reported, with a sentence of our own."""
    # In one spelling: `limit_requests` and `LimitRequests` are one.
    plain = [
        re.sub(r"[\s_-]", "", one.lower()).removeprefix("internalerror.algo.") for one in codes
    ]
    made = (row.make(str(status), plain, message.lower()) for row in ROWS)
    error = next(filter(None, made), None)
    error = error or errors.UpstreamUnavailable("The upstream failed on its own side.")
    if isinstance(error, errors.ImageUnfetchable):
        error.retryable = bool(TIMED_OUT.search(codes[0] + message))
    # What was refused costs nothing, unless usage was reported.
    gave_up = isinstance(error, errors.UpstreamTimeout) and status not in range(400, 500)
    broke = isinstance(error, errors.UpstreamUnavailable) and status in range(500, 600)
    error.billed = "maybe" if has_usage or gave_up or broke else "no"
    return error


def _word(name: str, *places: Json) -> str:
    """The first member of this name, as text; codes are numbers at times, and messages missing."""
    found = (place.get(name) for place in places)
    words = (well_formed(str(value)) for value in found if isinstance(value, str | int))
    return next(filter(None, words), "")


def _retry_after_s(headers: Headers) -> int | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3); a date is counted from the `Date` header."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), RETRY_AFTER_MAX_S)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return min(max(int(wait.total_seconds()), 0), RETRY_AFTER_MAX_S)
