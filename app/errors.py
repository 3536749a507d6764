"""Every way a request can fail, as a tree.

The branch says whose fault it is: the caller's, the upstream's or this service's. An error of
another library becomes one of these where it crosses into our layer.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

Billed = Literal["no", "maybe"]

DEFAULT_RETRY_AFTER_S = {429: 2, 503: 5}  # By status: these two always carry `Retry-After`.
RETRYABLE = frozenset({408, 429, 500, 503, 504})  # Statuses that may pass; those with 502 differ.


@dataclass(frozen=True, slots=True)
class UpstreamReport:
    """What the upstream said about a failure, without secrets."""

    status: int | None = Field(None, description="The upstream's HTTP status.")
    code: str | None = Field(None, description="The upstream's error code.")
    message: str | None = Field(None, description="The upstream's message.")
    request_id: str | None = Field(None, description="The upstream's request id, for its support.")


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that was refused, and why."""

    # The name is the caller's: it may be long, or hold lone surrogates.
    field: Annotated[
        str, BeforeValidator(lambda name: name[:128].encode(errors="replace").decode())
    ] = Field(description="The field's name, with dots and indices.")
    reason: str = Field(description="What is wrong with it.")


class ServiceError(Exception):
    """A failure with a fixed `code` and HTTP `status`, and a sentence for the caller.

    `detail` is ours and never holds what the caller sent; it is the title where there is no more
    to say.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: bool = False
    billed: Billed = "no"  # `maybe`: the upstream may have charged for the failed call.
    upstream_event: tuple[str, bytes] | None = None  # Its `response.failed`, which is relayed.
    usage: dict[str, Any] | None = None  # As the upstream reported it with the failure.

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_s: int | None = None,
        fields: Sequence[FieldError] = (),
        upstream: UpstreamReport | None = None,
        billed: Billed | None = None,
    ) -> None:
        self.detail = detail or f"{self.title}."
        super().__init__(self.detail)
        self.retry_after_s = retry_after_s
        self.fields = tuple(fields)
        self.upstream = upstream
        self.billed = billed or self.billed

    @property
    def wait_s(self) -> int | None:
        """Value of `Retry-After` in seconds: always known for a 429 and a 503."""
        known = self.retry_after_s
        return DEFAULT_RETRY_AFTER_S.get(self.status) if known is None else max(1, known)


class CallerError(ServiceError):
    """The request is at fault, or the caller's share is used up."""


class UpstreamError(ServiceError):
    """DashScope failed, or could not be reached."""


class OwnError(ServiceError):
    """This service is at fault, or at its limit."""


class InvalidRequest(CallerError):
    """A field, or several, cannot be as sent."""

    code, status, title = "invalid_request", 422, "The request is not valid"

    @classmethod
    def of(cls, field: str, reason: str) -> Self:
        return cls("A field is not valid.", fields=[FieldError(field, reason)])


class Overloaded(OwnError):
    """There is no room for the request at the moment."""

    code, status, title = "overloaded", 503, "The service is at capacity"
    retryable = True


def _leaf(branch: type[ServiceError], status: int, code: str, title: str) -> type[ServiceError]:
    """A kind of failure, named as its code."""
    members = {"code": code, "status": status, "title": title, "retryable": status in RETRYABLE}
    return type(code.title().replace("_", ""), (branch,), members)


MalformedRequest = _leaf(CallerError, 400, "malformed_request", "The request cannot be read")
MalformedBody = _leaf(CallerError, 400, "malformed_body", "The body cannot be read")
Unauthorized = _leaf(CallerError, 401, "unauthorized", "A valid key or token is required")
TokenExpired = _leaf(Unauthorized, 401, "token_expired", "The token has expired")
BudgetExceeded = _leaf(CallerError, 402, "budget_exceeded", "The budget is used up")
OriginNotAllowed = _leaf(CallerError, 403, "origin_not_allowed", "This origin is not allowed")
Forbidden = _leaf(CallerError, 403, "forbidden", "This credential is not allowed here")
SearchNotFound = _leaf(CallerError, 404, "search_not_found", "No such search")
RouteNotFound = _leaf(CallerError, 404, "not_found", "No such address")
MethodNotAllowed = _leaf(CallerError, 405, "method_not_allowed", "Method not allowed")
NotAcceptable = _leaf(CallerError, 406, "not_acceptable", "This address only serves event streams")
UploadTimeout = _leaf(CallerError, 408, "upload_timeout", "The body came too late")
ImageTooLarge = _leaf(CallerError, 413, "image_too_large", "The upload is too large")
ImageTypeUnsupported = _leaf(CallerError, 415, "image_type_unsupported", "Unsupported file type")
EncodingUnsupported = _leaf(CallerError, 415, "encoding_unsupported", "Unsupported content coding")
HostNotAllowed = _leaf(CallerError, 421, "host_not_allowed", "This host is not served here")
ImageMissing = _leaf(CallerError, 422, "image_missing", "An image is required")
ImageUnreadable = _leaf(CallerError, 422, "image_unreadable", "The image cannot be read")
ImageDimensions = _leaf(CallerError, 422, "image_dimensions", "The dimensions are not accepted")
ImageTooComplex = _leaf(CallerError, 422, "image_too_complex", "The image takes too much to decode")
ImageUrlInvalid = _leaf(CallerError, 422, "image_url_invalid", "The image URL is not accepted")
ImageUnfetchable = _leaf(CallerError, 422, "image_unfetchable", "The image could not be fetched")
ContentBlocked = _leaf(CallerError, 422, "content_blocked", "Refused by content inspection")
ModelNotAllowed = _leaf(CallerError, 422, "model_not_allowed", "This model is not available")
IdempotencyMismatch = _leaf(CallerError, 422, "idempotency_mismatch", "The key was already used")
RateLimited = _leaf(CallerError, 429, "rate_limited", "Too many requests")
HeadTooLarge = _leaf(CallerError, 431, "head_too_large", "Address and headers are too large")
UpstreamAuthFailed = _leaf(UpstreamError, 502, "upstream_auth_failed", "Upstream refused our key")
UpstreamAccount = _leaf(UpstreamError, 502, "upstream_account", "Upstream refused our account")
UpstreamRejected = _leaf(UpstreamError, 502, "upstream_rejected", "Upstream refused the request")
UpstreamUnavailable = _leaf(UpstreamError, 502, "upstream_unavailable", "Upstream is down")
UpstreamInterrupted = _leaf(UpstreamError, 502, "upstream_interrupted", "Upstream broke off")
UpstreamProtocol = _leaf(UpstreamError, 502, "upstream_protocol", "Upstream's answer is invalid")
UpstreamRateLimited = _leaf(UpstreamError, 503, "upstream_rate_limited", "Upstream is busy")
UpstreamTimeout = _leaf(UpstreamError, 504, "upstream_timeout", "Upstream took too long")
Draining = _leaf(OwnError, 503, "draining", "The service is shutting down")
Internal = _leaf(OwnError, 500, "internal", "Internal error")
OwnerLost = _leaf(OwnError, 502, "owner_lost", "The replica that ran this search is gone")
UpstreamUnavailable.retryable = UpstreamInterrupted.retryable = OwnerLost.retryable = True
# The upstream had the whole request when these happen, or may have had it.
UpstreamInterrupted.billed = UpstreamProtocol.billed = UpstreamTimeout.billed = "maybe"
OwnerLost.billed = "maybe"


def unexpected(cause: Exception) -> ServiceError:
    """The error for a bug; where memory ran out, the same request would need as much again."""
    error = Internal("An unexpected error occurred; it was logged.")
    error.retryable = not isinstance(cause, MemoryError)
    return error


def leaves(kind: type[ServiceError] = ServiceError) -> tuple[type[ServiceError], ...]:
    """Every error at or below `kind` that has a code, in the tree's order."""
    own = (kind,) if "code" in vars(kind) else ()
    return own + tuple(leaf for below in kind.__subclasses__() for leaf in leaves(below))
