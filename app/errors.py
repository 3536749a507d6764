"""Every way a request can fail, and how it is reported.

The class says whose fault it is, the leaf says what happened::

    ServiceError
    ├── CallerError   the request itself, or the caller's share
    │   ├── MalformedRequest 400   ├── MethodNotAllowed     405   ├── ImageTooComplex      422
    │   ├── MalformedBody    400   ├── NotAcceptable        406   ├── ImageUrlInvalid      422
    │   ├── Unauthorized     401   ├── UploadTimeout        408   ├── ImageUnfetchable     422
    │   ├── TokenExpired     401   ├── ImageTooLarge        413   ├── ContentBlocked       422
    │   ├── BudgetExceeded   402   ├── ImageTypeUnsupported 415   ├── ModelNotAllowed      422
    │   ├── OriginNotAllowed 403   ├── EncodingUnsupported  415   ├── IdempotencyMismatch  422
    │   ├── Forbidden        403   ├── ImageMissing         422   ├── InvalidRequest       422
    │   ├── SearchNotFound   404   ├── ImageUnreadable      422   ├── RateLimited          429
    │   └── RouteNotFound    404   └── ImageDimensions      422   └── HeadTooLarge         431
    ├── UpstreamError   DashScope, or the connection to it
    │   ├── UpstreamAuthFailed 502   ├── UpstreamUnavailable 502   ├── UpstreamRateLimited 503
    │   ├── UpstreamAccount    502   ├── UpstreamInterrupted 502   └── UpstreamTimeout     504
    │   └── UpstreamRejected   502   └── UpstreamProtocol    502
    └── OwnError   this service
        └── Overloaded 503, Draining 503, Internal 500

An error of another library becomes one of these where it crosses into our layer; `problems` renders
them for callers.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Billed = Literal["no", "maybe"]

FIELD_MAX_CHARS = 128
"""Longest field name shown in an error; the name comes from the caller."""

DEFAULT_RETRY_AFTER_S = {429: 2, 503: 2}
"""By status: these two always carry `Retry-After`, also when the wait is not known."""

DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, config=DESCRIBED)
class UpstreamReport:
    """What the upstream said about a failure, without secrets."""

    status: int | None = None
    """The upstream's HTTP status."""
    code: str | None = None
    """The upstream's error code."""
    message: str | None = None
    """The upstream's message."""
    request_id: str | None = None
    """The upstream's request id, for its support."""


@dataclass(frozen=True, slots=True, config=DESCRIBED)
class FieldError:
    """A field that was refused, and why."""

    field: str
    """The field's name, with dots and indices."""
    reason: str
    """What is wrong with it."""

    @classmethod
    def named(cls, field: str, reason: str) -> "FieldError":
        """Make one for a field name of any length, lone surrogates included."""
        return cls(field[:FIELD_MAX_CHARS].encode(errors="replace").decode(), reason)


class ServiceError(Exception):
    """The root: a failure with a fixed `code` and HTTP `status`, and a sentence for the caller.

    `detail` is ours and never holds what the caller sent. `retry_after_s` is in whole seconds.
    `billed` is `maybe` when the upstream may have charged for the failed call. `upstream_event` is
    the upstream's own failure event (type, data), if any: it is relayed before the stream ends.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: bool = False
    billed: Billed = "no"
    upstream_event: tuple[str, bytes] | None = None

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: int | None = None,
        fields: Sequence[FieldError] = (),
        upstream: UpstreamReport | None = None,
        retryable: bool | None = None,
        billed: Billed | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.fields = tuple(fields)
        self.upstream = upstream
        if retryable is not None:
            self.retryable = retryable
        if billed is not None:
            self.billed = billed

    @property
    def wait_s(self) -> int | None:
        """Value of `Retry-After` in seconds: always known for a 429 and a 503."""
        known = self.retry_after_s
        return DEFAULT_RETRY_AFTER_S.get(self.status) if known is None else max(1, known)


class CallerError(ServiceError):
    """The request is at fault."""


class MalformedRequest(CallerError):
    code, status, title = "malformed_request", 400, "The request cannot be read"


class MalformedBody(CallerError):
    code, status, title = "malformed_body", 400, "The body cannot be read"


class Unauthorized(CallerError):
    code, status, title = "unauthorized", 401, "A valid key or token is required"


class TokenExpired(Unauthorized):
    code, title = "token_expired", "The token has expired"


class BudgetExceeded(CallerError):
    code, status, title = "budget_exceeded", 402, "The budget is used up"


class OriginNotAllowed(CallerError):
    code, status, title = "origin_not_allowed", 403, "This origin is not allowed"


class Forbidden(CallerError):
    code, status, title = "forbidden", 403, "This credential is not allowed here"


class SearchNotFound(CallerError):
    code, status, title = "search_not_found", 404, "No such search"


class RouteNotFound(CallerError):
    code, status, title = "not_found", 404, "No such address"


class MethodNotAllowed(CallerError):
    code, status, title = "method_not_allowed", 405, "Method not allowed"


class NotAcceptable(CallerError):
    code, status, title = "not_acceptable", 406, "This address only serves event streams"


class UploadTimeout(CallerError):
    code, status, title = "upload_timeout", 408, "The body did not arrive in time"
    retryable = True


class ImageTooLarge(CallerError):
    code, status, title = "image_too_large", 413, "The upload is too large"


class ImageTypeUnsupported(CallerError):
    code, status, title = "image_type_unsupported", 415, "This file type is not supported"


class EncodingUnsupported(CallerError):
    code, status, title = "encoding_unsupported", 415, "Compressed bodies are not supported"


class InvalidRequest(CallerError):
    code, status, title = "invalid_request", 422, "The request is not valid"

    @classmethod
    def of(cls, field: str, reason: str) -> Self:
        """The refusal of one field."""
        return cls("A field is not valid.", fields=[FieldError.named(field, reason)])


class ImageMissing(CallerError):
    code, status, title = "image_missing", 422, "An image is required"


class ImageUnreadable(CallerError):
    code, status, title = "image_unreadable", 422, "The image cannot be read"


class ImageDimensions(CallerError):
    code, status, title = "image_dimensions", 422, "The image's dimensions are not accepted"


class ImageTooComplex(CallerError):
    code, status, title = "image_too_complex", 422, "The image takes too much to decode"


class ImageUrlInvalid(CallerError):
    code, status, title = "image_url_invalid", 422, "The image URL is not accepted"


class ImageUnfetchable(CallerError):
    code, status, title = "image_unfetchable", 422, "The image could not be fetched or decoded"


class ContentBlocked(CallerError):
    code, status, title = "content_blocked", 422, "Refused by content inspection"


class ModelNotAllowed(CallerError):
    code, status, title = "model_not_allowed", 422, "This model is not available"


class IdempotencyMismatch(CallerError):
    code, status, title = "idempotency_mismatch", 422, "The key belongs to another request"


class RateLimited(CallerError):
    code, status, title = "rate_limited", 429, "Too many requests"
    retryable = True


class HeadTooLarge(CallerError):
    code, status, title = "head_too_large", 431, "The request's address and headers are too large"


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
    code, status, title = "upstream_interrupted", 502, "The upstream connection broke"
    retryable = True
    billed = "maybe"


class UpstreamProtocol(UpstreamError):
    code, status, title = "upstream_protocol", 502, "The upstream's answer is not valid"
    billed = "maybe"


class UpstreamRateLimited(UpstreamError):
    code, status, title = "upstream_rate_limited", 503, "The upstream is busy"
    retryable = True


class UpstreamTimeout(UpstreamError):
    code, status, title = "upstream_timeout", 504, "The upstream took too long"
    retryable = True
    billed = "maybe"


class OwnError(ServiceError):
    """This service is at fault, or at its limit."""


class Overloaded(OwnError):
    code, status, title = "overloaded", 503, "The service is at capacity"
    retryable = True


class Draining(OwnError):
    code, status, title = "draining", 503, "The service is shutting down"
    retryable = True


class Internal(OwnError):
    code, status, title = "internal", 500, "Internal error"
    retryable = True


def leaves(kind: type[ServiceError] = ServiceError) -> tuple[type[ServiceError], ...]:
    """Every error at or below `kind` that has a code, in the tree's order."""
    own = (kind,) if "code" in vars(kind) else ()
    return own + tuple(leaf for below in kind.__subclasses__() for leaf in leaves(below))
