"""Every way a request can fail, as a tree, and how callers read it.

The branch says whose fault it is: the caller's, the upstream's or this service's. An error of
another library becomes one of these where it crosses into our layer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Billed = Literal["no", "maybe"]

FIELD_MAX_CHARS = 128  # Of a name that is shown in an error; it comes from the caller.

DEFAULT_RETRY_AFTER_S = {429: 2, 503: 2}
"""By status: these two always carry `Retry-After`, also when the wait is not known."""

OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
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
    """A failure with a fixed `code` and HTTP `status`, and a sentence for the caller.

    `detail` is ours and never holds what the caller sent. `billed` is `maybe` when the upstream may
    have charged for the failed call. `upstream_event` is the upstream's own failure event (type,
    data), if any: it is relayed before the stream ends.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: bool = False
    billed: Billed = "no"
    upstream_event: tuple[str, bytes] | None = None

    def __init_subclass__(
        cls,
        *,
        status: int = 0,
        title: str = "",
        code: str = "",
        retryable: bool = False,
        billed: Billed = "no",
    ) -> None:
        """Make a leaf of a class with a status; its code is its name in snake case."""
        if status:
            cls.code = code or re.sub(r"\B([A-Z])", r"_\1", cls.__name__).lower()
            cls.status, cls.title, cls.retryable, cls.billed = status, title, retryable, billed

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
    """The request is at fault, or the caller's share is used up."""


class UpstreamError(ServiceError):
    """DashScope failed, or could not be reached."""


class OwnError(ServiceError):
    """This service is at fault, or at its limit."""


class MalformedRequest(CallerError, status=400, title="The request cannot be read"): ...


class MalformedBody(CallerError, status=400, title="The body cannot be read"): ...


class Unauthorized(CallerError, status=401, title="A valid key or token is required"): ...


class TokenExpired(Unauthorized, status=401, title="The token has expired"): ...


class BudgetExceeded(CallerError, status=402, title="The budget is used up"): ...


class OriginNotAllowed(CallerError, status=403, title="This origin is not allowed"): ...


class Forbidden(CallerError, status=403, title="This credential is not allowed here"): ...


class SearchNotFound(CallerError, status=404, title="No such search"): ...


class RouteNotFound(CallerError, status=404, title="No such address", code="not_found"): ...


class MethodNotAllowed(CallerError, status=405, title="Method not allowed"): ...


class NotAcceptable(CallerError, status=406, title="This address only serves event streams"): ...


class UploadTimeout(CallerError, status=408, title="The body came too late", retryable=True): ...


class ImageTooLarge(CallerError, status=413, title="The upload is too large"): ...


class ImageTypeUnsupported(CallerError, status=415, title="This file type is not supported"): ...


class EncodingUnsupported(CallerError, status=415, title="Compressed bodies are not supported"): ...


class HostNotAllowed(CallerError, status=421, title="This host is not served here"): ...


class InvalidRequest(CallerError, status=422, title="The request is not valid"):
    """A field, or several, cannot be as sent."""

    @classmethod
    def of(cls, field: str, reason: str) -> Self:
        """The refusal of one field."""
        return cls("A field is not valid.", fields=[FieldError.named(field, reason)])


class ImageMissing(CallerError, status=422, title="An image is required"): ...


class ImageUnreadable(CallerError, status=422, title="The image cannot be read"): ...


class ImageDimensions(CallerError, status=422, title="The image's dimensions are not accepted"): ...


class ImageTooComplex(CallerError, status=422, title="The image takes too much to decode"): ...


class ImageUrlInvalid(CallerError, status=422, title="The image URL is not accepted"): ...


class ImageUnfetchable(CallerError, status=422, title="The image could not be fetched"): ...


class ContentBlocked(CallerError, status=422, title="Refused by content inspection"): ...


class ModelNotAllowed(CallerError, status=422, title="This model is not available"): ...


class IdempotencyMismatch(CallerError, status=422, title="The key belongs to another request"): ...


class RateLimited(CallerError, status=429, title="Too many requests", retryable=True): ...


class HeadTooLarge(CallerError, status=431, title="Address and headers are too large"): ...


class UpstreamAuthFailed(UpstreamError, status=502, title="The upstream refused our key"): ...


class UpstreamAccount(UpstreamError, status=502, title="The upstream account cannot be used"): ...


class UpstreamRejected(UpstreamError, status=502, title="The upstream refused the request"): ...


class UpstreamUnavailable(UpstreamError, status=502, title="Upstream is down", retryable=True): ...


class UpstreamInterrupted(
    UpstreamError, status=502, title="The upstream broke off", retryable=True, billed="maybe"
): ...


class UpstreamProtocol(
    UpstreamError, status=502, title="The upstream's answer is not valid", billed="maybe"
): ...


class UpstreamRateLimited(UpstreamError, status=503, title="Upstream is busy", retryable=True): ...


class UpstreamTimeout(
    UpstreamError, status=504, title="The upstream took too long", retryable=True, billed="maybe"
): ...


class Overloaded(OwnError, status=503, title="The service is at capacity", retryable=True): ...


class Draining(OwnError, status=503, title="The service is shutting down", retryable=True): ...


class Internal(OwnError, status=500, title="Internal error", retryable=True): ...


def leaves(kind: type[ServiceError] = ServiceError) -> tuple[type[ServiceError], ...]:
    """Every error at or below `kind` that has a code, in the tree's order."""
    own = (kind,) if "code" in vars(kind) else ()
    return own + tuple(leaf for below in kind.__subclasses__() for leaf in leaves(below))


def problem(
    error: ServiceError,
    *,
    request_id: str,
    search_id: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `application/problem+json` body of an error (RFC 9457 §3); absent members left out."""
    body = {
        "type": f"urn:imagesearch:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
        "billed": error.billed,
        "retry_after": error.wait_s,
        "request_id": request_id,
        "search_id": search_id,
        "errors": [asdict(field) for field in error.fields] or None,
        "upstream": error.upstream and asdict(error.upstream),
        "result": result,
    }
    return {name: value for name, value in body.items() if value is not None}


def openai_error(error: ServiceError) -> dict[str, Any]:
    """The body of an error in OpenAI's shape, with our codes; `param` is the first field."""
    other = "invalid_request_error" if isinstance(error, CallerError) else "server_error"
    reasons = "; ".join(f"{field.field}: {field.reason}" for field in error.fields)
    return {
        "error": {
            "message": f"{error.detail} {reasons}".rstrip(),
            "type": OPENAI_TYPES.get(error.status, other),
            "param": error.fields[0].field if error.fields else None,
            "code": error.code,
        }
    }
