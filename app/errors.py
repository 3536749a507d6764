"""Every way a request can end badly, and how it is told.

The class says whose fault it is, the leaf says what happened::

    ServiceError
    ├── CallerError      the request itself, or the caller's share
    │   ├── MalformedBody         400    ├── ImageMissing          422
    │   ├── Unauthorized          401    ├── ImageUnreadable       422
    │   ├── BudgetExceeded        402    ├── ImageDimensions       422
    │   ├── OriginNotAllowed      403    ├── ImageUrlInvalid       422
    │   ├── Forbidden             403    ├── ImageUnfetchable      422  (told by the upstream)
    │   ├── SearchNotFound        404    ├── ContentBlocked        422  (told by the upstream)
    │   ├── RouteNotFound         404    ├── ModelNotAllowed       422
    │   ├── MethodNotAllowed      405    ├── IdempotencyMismatch   422
    │   ├── NotAcceptable         406    ├── InvalidRequest        422
    │   ├── ImageTooLarge         413    ├── RateLimited           429
    │   └── ImageTypeUnsupported  415    └── HeadTooLarge          431
    ├── UpstreamError    DashScope, or the way to it
    │   ├── UpstreamAuthFailed    502    ├── UpstreamProtocol      502
    │   ├── UpstreamAccount       502    ├── UpstreamRateLimited   503
    │   ├── UpstreamRejected      502    └── UpstreamTimeout       504
    │   ├── UpstreamUnavailable   502
    │   └── UpstreamInterrupted   502
    └── OwnError         this service
        ├── Overloaded            503
        ├── Draining              503
        └── Internal              500

Crossing a floor is one mapping in one place; `problem()` turns a leaf into the body that a
caller reads, `openai_error()` into the one that OpenAI's clients read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

FIELD_MAX_CHARS = 128
"""What is shown of a refused field's name, which is the caller's own."""

BUSY = frozenset({429, 503})
DEFAULT_WAIT_S = 2
"""Told where nobody knows how long the wait is."""


@dataclass(frozen=True, slots=True)
class UpstreamReport:
    """What the upstream said of a failure, free of secrets: for logs and the caller's support."""

    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: its name as the caller wrote it, and why."""

    field: str
    reason: str

    @classmethod
    def named(cls, field: str, reason: str) -> "FieldError":
        """Name a field of any length, in which half a surrogate pair may stand."""
        shown = field[:FIELD_MAX_CHARS].encode(errors="replace").decode()
        return cls(shown, reason)


class ServiceError(Exception):
    """The root: a failure with a fixed `code` and HTTP `status`, and a sentence for the caller.

    `retry_after_s` is whole seconds, when known. `detail` is written by us and never holds
    what the caller sent. `told_by` is the upstream's own failure event as (type, data), where it
    sent one: it is relayed before the stream ends. `may_be_billed` says that the upstream may
    have charged for the call that failed.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: bool = False
    may_be_billed: bool = False
    told_by: tuple[str, bytes] | None = None

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: int | None = None,
        fields: Sequence[FieldError] = (),
        upstream: UpstreamReport | None = None,
        retryable: bool | None = None,
        may_be_billed: bool | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.fields = tuple(fields)
        self.upstream = upstream
        if retryable is not None:
            self.retryable = retryable
        if may_be_billed is not None:
            self.may_be_billed = may_be_billed

    @property
    def wait_s(self) -> int | None:
        """Seconds that a caller should wait: always told with a 429 and a 503."""
        if self.retry_after_s is None:
            return DEFAULT_WAIT_S if self.status in BUSY else None
        return max(1, self.retry_after_s)


class CallerError(ServiceError):
    """The request is at fault."""


class MalformedBody(CallerError):
    code, status, title = "malformed_body", 400, "The body cannot be read"


class Unauthorized(CallerError):
    code, status, title = "unauthorized", 401, "A valid key or token is needed"


class BudgetExceeded(CallerError):
    code, status, title = "budget_exceeded", 402, "The budget is used up"


class OriginNotAllowed(CallerError):
    code, status, title = "origin_not_allowed", 403, "This origin may not search"


class Forbidden(CallerError):
    code, status, title = "forbidden", 403, "This credential may not do that"


class SearchNotFound(CallerError):
    code, status, title = "search_not_found", 404, "No such search"


class RouteNotFound(CallerError):
    code, status, title = "not_found", 404, "No such address"


class MethodNotAllowed(CallerError):
    code, status, title = "method_not_allowed", 405, "This address has no such method"


class NotAcceptable(CallerError):
    code, status, title = "not_acceptable", 406, "This address only answers event streams"


class ImageTooLarge(CallerError):
    code, status, title = "image_too_large", 413, "The upload is too large"


class ImageTypeUnsupported(CallerError):
    code, status, title = "image_type_unsupported", 415, "This kind of file cannot be searched"


class InvalidRequest(CallerError):
    code, status, title = "invalid_request", 422, "The request is not valid"

    @classmethod
    def of(cls, field: str, reason: str) -> Self:
        """The refusal of one field."""
        return cls("A field is not valid.", fields=[FieldError.named(field, reason)])


class ImageMissing(CallerError):
    code, status, title = "image_missing", 422, "An image is needed"


class ImageUnreadable(CallerError):
    code, status, title = "image_unreadable", 422, "The image cannot be read"


class ImageDimensions(CallerError):
    code, status, title = "image_dimensions", 422, "The image's size in pixels is not accepted"


class ImageTooComplex(CallerError):
    code, status, title = "image_too_complex", 422, "Decoding the image takes too much"


class ImageUrlInvalid(CallerError):
    code, status, title = "image_url_invalid", 422, "The image's address is not accepted"


class ImageUnfetchable(CallerError):
    code, status, title = "image_unfetchable", 422, "The image could not be fetched or decoded"


class ContentBlocked(CallerError):
    code, status, title = "content_blocked", 422, "Refused by content inspection"


class ModelNotAllowed(CallerError):
    code, status, title = "model_not_allowed", 422, "This model is not offered"


class IdempotencyMismatch(CallerError):
    code, status, title = "idempotency_mismatch", 422, "The key belongs to another request"


class RateLimited(CallerError):
    code, status, title = "rate_limited", 429, "Too many requests"
    retryable = True


class HeadTooLarge(CallerError):
    code, status, title = "head_too_large", 431, "The request's head is too large"


class UpstreamError(ServiceError):
    """DashScope failed, or could not be reached."""


class UpstreamAuthFailed(UpstreamError):
    code, status, title = "upstream_auth_failed", 502, "The upstream refused this service's key"


class UpstreamAccount(UpstreamError):
    code, status, title = "upstream_account", 502, "The upstream account cannot be used"


class UpstreamRejected(UpstreamError):
    code, status, title = "upstream_rejected", 502, "The upstream refused the request"


class UpstreamUnavailable(UpstreamError):
    code, status, title = "upstream_unavailable", 502, "The upstream is not available"
    retryable = True


class UpstreamInterrupted(UpstreamError):
    code, status, title = "upstream_interrupted", 502, "The upstream broke off"
    retryable = True
    may_be_billed = True


class UpstreamProtocol(UpstreamError):
    code, status, title = "upstream_protocol", 502, "The upstream's answer is not valid"
    may_be_billed = True


class UpstreamRateLimited(UpstreamError):
    code, status, title = "upstream_rate_limited", 503, "The upstream is busy"
    retryable = True


class UpstreamTimeout(UpstreamError):
    code, status, title = "upstream_timeout", 504, "The upstream took too long"
    retryable = True
    may_be_billed = True


class OwnError(ServiceError):
    """This service is at fault, or at its limit."""


class Overloaded(OwnError):
    code, status, title = "overloaded", 503, "The service is at capacity"
    retryable = True


class Draining(OwnError):
    code, status, title = "draining", 503, "The service is shutting down"
    retryable = True


class Internal(OwnError):
    code, status, title = "internal", 500, "Something went wrong here"
    retryable = True
    may_be_billed = True


def leaves(kind: type[ServiceError] = ServiceError) -> tuple[type[ServiceError], ...]:
    """Every error below `kind` in the tree, or itself when it is one, in the tree's order."""
    below = kind.__subclasses__()
    return tuple(leaf for one in below for leaf in leaves(one)) if below else (kind,)


def problem(
    error: ServiceError,
    *,
    request_id: str,
    search_id: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `application/problem+json` body of an error (RFC 9457 §3), absent members left out."""
    body: dict[str, Any] = {
        "type": f"urn:imagesearch:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
        "retry_after": error.wait_s,
        "request_id": request_id,
        "search_id": search_id,
        "errors": [asdict(field) for field in error.fields] or None,
        "upstream": asdict(error.upstream) if error.upstream else None,
        "result": result,
    }
    return {name: value for name, value in body.items() if value is not None}


OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
SERVER_FAULTS = 500


def openai_error(error: ServiceError) -> dict[str, Any]:
    """The body of an error as OpenAI's API has it, with our codes; `param` is the first field."""
    fields = "; ".join(f"{field.field}: {field.reason}" for field in error.fields)
    other = "server_error" if error.status >= SERVER_FAULTS else "invalid_request_error"
    return {
        "error": {
            "message": f"{error.detail} {fields}" if fields else error.detail,
            "type": OPENAI_TYPES.get(error.status, other),
            "param": error.fields[0].field if error.fields else None,
            "code": error.code,
        }
    }
