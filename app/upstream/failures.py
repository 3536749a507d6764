"""What the upstream says of a failure, in any of its envelopes, as our own error tree. Pure.

DashScope tells one failure in many ways: an HTTP status with a flat or an OpenAI-shaped body, a
body with `status: "failed"` under HTTP 200, a `response.failed` event, a flat `error` frame; and
a message may begin with the status that it really has: `<429> …`, `[400] …`. All are read into
one `Said`, which the table in `app/upstream/verdicts.py` judges.
"""

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from app.errors import ServiceError, UpstreamInterrupted, UpstreamProtocol, UpstreamReport
from app.upstream.sse import Decoder
from app.upstream.verdicts import Said, judge

FAILED = "response.failed"
HTTP_OK, HTTP_REDIRECTS = 200, 300
PARTIAL_HEADER = "x-dashscope-partialresponse"
WHOLE_MEMBERS = frozenset({"output", "data", "deleted"})
"""One of them is in every response, list of items, and word of a deletion."""
MESSAGE_MAX_CHARS = 500
"""Enough for every documented message; bounds what a log line or a problem body carries."""
RETRY_AFTER_MAX_S = 3600
"""A throttled account recovers within a minute; longer answers are mistakes."""
EMBEDDED = re.compile(r"\s*(?:<(\d{3})>|\[(\d{3})\])\s*(?:([A-Za-z_][\w.]*)\s*:)?")
"""`<429> InternalError.Algo: …`, `[400] missing_required_parameter: …`."""
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w=-]+)*,[\w+/=%-]*")
URL_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")

Headers = Mapping[str, str]
"""Header values by lower-case name, or by any name where the mapping ignores case."""

NO_HEADERS: Headers = {}


def from_response(status: int, headers: Headers, body: bytes) -> ServiceError:
    """The error that a whole HTTP response tells, whatever its status; `body` may be cut off."""
    data = _json_part(body)
    found = _object(data) or {"message": _text(body)}
    if status < HTTP_REDIRECTS and not _tells_failure(found):
        return UpstreamProtocol(
            "The upstream answered with something that is no event stream.",
            upstream=UpstreamReport(status, None, _shown(_text(body)), _request_id({}, headers)),
        )
    error = _error(found, headers, status)
    if found.get("type") == FAILED:
        error.told_by = (FAILED, data)
    return error


def from_whole(headers: Headers, body: bytes, *, stored: bool) -> ServiceError | None:
    """The error that a whole JSON body under HTTP 200 tells; `None` for one that is well.

    A `stored` answer that failed then is well now: its own status tells of the failure.
    """
    if headers.get(PARTIAL_HEADER) == "true":
        return UpstreamInterrupted("The upstream cut its own answer at a time limit.")
    found = _object(body)
    if found is None and body.strip()[:1] in (b"", b"{"):
        return UpstreamInterrupted("The upstream's answer broke off.")
    if found is None or (_tells_failure(found) and not (stored and "output" in found)):
        return from_response(HTTP_OK, headers, body)
    if WHOLE_MEMBERS.isdisjoint(found):
        return UpstreamProtocol("The upstream answered with something that is no response.")
    return None


def from_failed(data: bytes, headers: Headers = NO_HEADERS) -> ServiceError:
    """The error that a `response.failed` event tells; `told_by` holds it as it came."""
    error = _error(_object(data) or {"message": _text(data)}, headers, 200)
    error.told_by = (FAILED, data)
    return error


def from_frame(
    data: bytes, http_status: int | None = None, headers: Headers = NO_HEADERS
) -> ServiceError:
    """The error that an `error` frame tells: flat, nested or OpenAI's, by its status comment."""
    return _error(_object(data) or {"message": _text(data)}, headers, http_status or 200)


def tells_failure(data: bytes) -> bool:
    """Whether a frame that bears no type of its own is the upstream's flat failure."""
    found = _object(data)
    return found is not None and _tells_failure(found)


def _tells_failure(found: Mapping[str, Any]) -> bool:
    inner = found.get("response")
    status = inner.get("status") if isinstance(inner, dict) else found.get("status")
    if status == "failed" or found.get("error"):
        return True
    return isinstance(found.get("code"), str) and "message" in found


def _error(found: Mapping[str, Any], headers: Headers, http_status: int) -> ServiceError:
    said = _said(found, headers, http_status)
    error = judge(said)
    error.upstream = UpstreamReport(
        said.status, said.code or None, _shown(said.message) or None, said.request_id
    )
    error.retry_after_s = _retry_after_s(headers)
    return error


def _said(found: Mapping[str, Any], headers: Headers, http_status: int) -> Said:
    """The three envelopes, nested ones unwrapped, as one record."""
    inner = found.get("response")
    outer = inner if isinstance(inner, dict) else found
    told = outer.get("error")
    error: Mapping[str, Any] = told if isinstance(told, dict) else outer
    message = told if isinstance(told, str) else _word(error, "message")
    code = _word(error, "code") or _word(outer, "code") or _word(error, "type")
    embedded = EMBEDDED.match(message)
    status = int(embedded[1] or embedded[2]) if embedded else http_status
    hidden = (embedded[3] or "") if embedded else ""
    return Said(status, code, hidden, message, _request_id(found, headers))


def _word(found: Mapping[str, Any], name: str) -> str:
    """A member as text; codes are now and then numbers, and messages missing."""
    value = found.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else ""


def _request_id(found: Mapping[str, Any], headers: Headers) -> str | None:
    error = found.get("error")
    nested = _word(error, "request_id") if isinstance(error, dict) else ""
    return _word(found, "request_id") or nested or headers.get("x-request-id") or None


def _json_part(body: bytes) -> bytes:
    """The JSON object in a body, which may be framed as an event whatever its type says."""
    if _object(body) is not None:
        return body
    decoder = Decoder(max_event_bytes=len(body))
    frames = [*decoder.feed(body), *decoder.end()]
    return next((frame.data for frame in frames if _object(frame.data) is not None), b"")


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(body: bytes) -> str:
    return body[: 4 * MESSAGE_MAX_CHARS].decode(errors="replace")


def _shown(message: str) -> str:
    """A message fit for logs and callers: short, one line, no image and no signed address in it."""
    message = URL_QUERY.sub(r"\1?…", DATA_URL.sub("data:…", message))
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
