"""What the upstream says of a failure, in any of its envelopes, as one of our errors. Pure.

DashScope reports one failure in many ways: an HTTP status with a flat or an OpenAI-shaped body, a
body with `status: "failed"` under HTTP 200, a `response.failed` event, a flat `error` event; and a
message may begin with the status that is meant: `<429> …`, `[400] …`.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from app import errors
from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol, UpstreamReport
from app.models import well_formed
from app.upstream.error_table import EARLIER_RESPONSE, Failure, classify
from app.upstream.lenient import Json, as_object, parse_object
from app.upstream.sse import Decoder

FAILED = "response.failed"
HTTP_OK, HTTP_REDIRECTS, HTTP_NOT_FOUND = 200, 300, 404
PARTIAL_HEADER = "x-dashscope-partialresponse"
BODY_MEMBERS = {"output", "data", "deleted"}  # Of a response, a list of items, a deletion.
MESSAGE_MAX_CHARS, CODE_MAX_CHARS = 500, 128
"""Enough for every documented one; they bound a log line and a problem body."""
RETRY_AFTER_MAX_S = 3600  # A throttled account recovers within a minute; longer is a mistake.
# `<429> InternalError.Algo: …`, `[400] missing_required_parameter: …`.
EMBEDDED = re.compile(r"\s*(?:<(\d{3})>|\[(\d{3})\])\s*(?:([A-Za-z_][\w.]*)\s*:)?")
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w=-]+)*,[\w+/=%-]*")
URL_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")

Headers = Mapping[str, str]  # By lower-case name, or by any name where it ignores case.


def failure_in_response(
    status: int, headers: Headers, body: bytes, *, stored: bool = False
) -> ServiceError:
    """The error in a response, of which `body` may be cut off; a `stored` one may not exist."""
    data = _json_part(body)
    content = parse_object(data) or {"message": body.decode(errors="replace")}
    error = _error(content, headers, status)
    unknown = any(one.field == EARLIER_RESPONSE for one in error.fields)
    if stored and (unknown or status == HTTP_NOT_FOUND):
        detail = "No such response, or it is no longer kept."
        return errors.SearchNotFound(detail, upstream=error.upstream)
    if status < HTTP_REDIRECTS and not is_failure(content):
        detail = "The upstream answered with something that is no event stream."
        return UpstreamProtocol(detail, upstream=error.upstream)
    if content.get("type") == FAILED:
        # A carriage return would end a line of the stream that it is relayed in.
        error.upstream_event = (FAILED, data.replace(b"\r", b" "))
    return error


def failure_in_body(headers: Headers, body: bytes, *, stored: bool) -> ServiceError | None:
    """The error in a JSON body under HTTP 200; a `stored` response that failed is none."""
    if headers.get(PARTIAL_HEADER) == "true":
        return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
    content = parse_object(body)
    if content is None and body.strip()[:1] in (b"", b"{"):
        return UpstreamInterrupted("The upstream's answer ended early.")
    if content is None or (is_failure(content) and not (stored and "output" in content)):
        return failure_in_response(HTTP_OK, headers, body, stored=stored)
    if BODY_MEMBERS.isdisjoint(content):
        return UpstreamProtocol("The upstream answered with something that is no response.")
    return None


def failure_in_event(name: str, data: bytes, headers: Headers, *, http_status: int) -> ServiceError:
    """The error in an event; `upstream_event` is set if it is a `response.failed`."""
    content = parse_object(data) or {"message": data.decode(errors="replace")}
    error = _error(content, headers, http_status)
    if name == FAILED:
        error.upstream_event = (FAILED, data)
    return error


def is_failure(content: Json) -> bool:
    """Whether a body, or the data of an event, reports a failure, whatever its status or name."""
    status = as_object(content.get("response")).get("status") or content.get("status")
    coded = isinstance(content.get("code"), str) and "message" in content
    return status == "failed" or bool(content.get("error")) or coded


def _error(content: Json, headers: Headers, http_status: int) -> ServiceError:
    """The three envelopes, nested ones unwrapped, as one record, classified."""
    outer = as_object(content.get("response")) or content
    inner = as_object(outer.get("error")) or outer
    message = _word("error", outer) or _word("message", inner)
    embedded = EMBEDDED.match(message)
    status = int(embedded[1] or embedded[2]) if embedded else http_status
    code = (_word("code", inner, outer) or _word("type", inner))[:CODE_MAX_CHARS]
    codes = (code, (embedded[3] or "")[:CODE_MAX_CHARS] if embedded else "")
    request_id = _word("request_id", content, inner) or headers.get("x-request-id", "")
    error = classify(Failure(status, codes, message, has_usage=bool(outer.get("usage"))))
    error.upstream = UpstreamReport(
        status, code or None, _shown(message) or None, request_id[:CODE_MAX_CHARS] or None
    )
    error.retry_after_s = _retry_after_s(headers)
    return error


def _word(name: str, *places: Json) -> str:
    """The first member of this name, as text; codes are numbers at times, and messages missing."""
    found = (place.get(name) for place in places)
    words = (well_formed(str(value)) for value in found if isinstance(value, str | int))
    return next(filter(None, words), "")


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
