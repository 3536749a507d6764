"""What the upstream says of a failure, in any of its envelopes, as one of our errors. Pure.

DashScope reports one failure in many ways: an HTTP status with a flat or an OpenAI-shaped body, a
body with `status: "failed"` under HTTP 200, a `response.failed` event, a flat `error` event; and a
message may begin with the status that is meant: `<429> …`, `[400] …`. All are read into one
`UpstreamFailure`, which `error_table` classifies.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol, UpstreamReport
from app.upstream.error_table import UpstreamFailure, classify
from app.upstream.lenient import Json, as_object, parse_object
from app.upstream.sse import Decoder

FAILED = "response.failed"
HTTP_OK, HTTP_REDIRECTS = 200, 300
PARTIAL_HEADER = "x-dashscope-partialresponse"
BODY_MEMBERS = frozenset({"output", "data", "deleted"})
"""Every response, list of items and confirmation of a deletion has one of them."""
MESSAGE_MAX_CHARS = 500
"""Enough for every documented message; bounds a log line and a problem body."""
RETRY_AFTER_MAX_S = 3600
"""A throttled account recovers within a minute; longer waits are mistakes."""
EMBEDDED = re.compile(r"\s*(?:<(\d{3})>|\[(\d{3})\])\s*(?:([A-Za-z_][\w.]*)\s*:)?")
"""`<429> InternalError.Algo: …`, `[400] missing_required_parameter: …`."""
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w=-]+)*,[\w+/=%-]*")
URL_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")

Headers = Mapping[str, str]
"""Header values by lower-case name, or by any name where the mapping ignores case."""


def failure_in_response(status: int, headers: Headers, body: bytes) -> ServiceError:
    """The error in a response that is no event stream; `body` may be cut off."""
    data = _json_part(body)
    content = parse_object(data) or {"message": body.decode(errors="replace")}
    if status < HTTP_REDIRECTS and not _is_failure(content):
        shown = _shown(content.get("message") or body.decode(errors="replace"))
        return UpstreamProtocol(
            "The upstream answered with something that is no event stream.",
            upstream=UpstreamReport(status, None, shown, _request_id({}, headers)),
        )
    error = _error(content, headers, status)
    if content.get("type") == FAILED:
        error.upstream_event = (FAILED, data)
    return error


def failure_in_body(headers: Headers, body: bytes, *, stored: bool) -> ServiceError | None:
    """The error in a JSON body under HTTP 200, if it is one.

    A `stored` response that failed is none: its own status says so.
    """
    if headers.get(PARTIAL_HEADER) == "true":
        return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
    content = parse_object(body)
    if content is None and body.strip()[:1] in (b"", b"{"):
        return UpstreamInterrupted("The upstream's answer ended early.")
    if content is None or (_is_failure(content) and not (stored and "output" in content)):
        return failure_in_response(HTTP_OK, headers, body)
    if BODY_MEMBERS.isdisjoint(content):
        return UpstreamProtocol("The upstream answered with something that is no response.")
    return None


def failure_in_event(
    name: str, data: bytes, headers: Headers, *, http_status: int | None = None
) -> ServiceError:
    """The error in an event; `upstream_event` is set if it is a `response.failed`."""
    content = parse_object(data) or {"message": data.decode(errors="replace")}
    error = _error(content, headers, http_status or HTTP_OK)
    if name == FAILED:
        error.upstream_event = (FAILED, data)
    return error


def is_failure(data: bytes) -> bool:
    """Whether the data of an event reports a failure, whatever the event is called."""
    return _is_failure(parse_object(data) or {})


def _is_failure(content: Json) -> bool:
    status = as_object(content.get("response")).get("status") or content.get("status")
    if status == "failed" or content.get("error"):
        return True
    return isinstance(content.get("code"), str) and "message" in content


def _error(content: Json, headers: Headers, http_status: int) -> ServiceError:
    failure = _failure(content, headers, http_status)
    error = classify(failure)
    error.upstream = UpstreamReport(
        failure.status, failure.code or None, _shown(failure.message) or None, failure.request_id
    )
    error.retry_after_s = _retry_after_s(headers)
    return error


def _failure(content: Json, headers: Headers, http_status: int) -> UpstreamFailure:
    """The three envelopes, nested ones unwrapped, as one record."""
    outer = as_object(content.get("response")) or content
    reported = outer.get("error")
    error = as_object(reported) or outer
    message = reported if isinstance(reported, str) else _word(error, "message")
    embedded = EMBEDDED.match(message)
    return UpstreamFailure(
        status=int(embedded[1] or embedded[2]) if embedded else http_status,
        code=_word(error, "code") or _word(outer, "code") or _word(error, "type"),
        embedded_code=(embedded[3] or "") if embedded else "",
        message=message,
        request_id=_request_id(content, headers),
        has_usage=bool(outer.get("usage")),
    )


def _word(content: Json, name: str) -> str:
    """A member as text; codes are numbers at times, and messages missing."""
    value = content.get(name)
    return str(value) if isinstance(value, str | int) else ""


def _request_id(content: Json, headers: Headers) -> str | None:
    nested = _word(as_object(content.get("error")), "request_id")
    return _word(content, "request_id") or nested or headers.get("x-request-id") or None


def _json_part(body: bytes) -> bytes:
    """The JSON object in a body, which may be framed as an event whatever its type says."""
    decoder = Decoder(max_event_bytes=len(body))
    candidates = [body, *(frame.data for frame in [*decoder.feed(body), *decoder.end()])]
    return next((data for data in candidates if parse_object(data) is not None), b"")


def _shown(message: str) -> str:
    """A message fit for logs and callers: one short line without images and signed URLs."""
    message = URL_QUERY.sub(r"\1?…", DATA_URL.sub("data:…", message[: 8 * MESSAGE_MAX_CHARS]))
    return " ".join(message.split())[:MESSAGE_MAX_CHARS]


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
