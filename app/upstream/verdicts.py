"""The one table from the upstream's codes and messages to our errors: first row that fits wins.

Sources: DashScope's page of error codes, and answers recorded from the live service.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from app.errors import (
    ContentBlocked,
    FieldError,
    ImageDimensions,
    ImageTooLarge,
    ImageUnfetchable,
    InvalidRequest,
    ServiceError,
    UpstreamAccount,
    UpstreamAuthFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)


class Said(NamedTuple):
    """A failure as the upstream told it. `hidden_code` stood inside the message."""

    status: int
    code: str
    hidden_code: str
    message: str
    request_id: str | None = None

    @property
    def codes(self) -> frozenset[str]:
        """The codes in one spelling: `limit_requests` and `LimitRequests` are one."""
        return frozenset(filter(None, map(_plain, (self.code, self.hidden_code))))


class Row(NamedTuple):
    """Fits when any code, the message or the status does; `make` then gives the error."""

    make: Callable[[Said], ServiceError]
    codes: str = ""
    message: str = ""
    statuses: frozenset[int] = frozenset()

    def fits(self, said: Said) -> bool:
        """Whether this row is about that failure."""
        if self.codes and any(re.fullmatch(self.codes, code) for code in said.codes):
            return True
        if self.message and re.search(self.message, said.message, re.IGNORECASE):
            return True
        return said.status in self.statuses


def judge(said: Said) -> ServiceError:
    """Our error for what the upstream said, with a sentence of our own."""
    for row in TABLE:
        if row.fits(said):
            return row.make(said)
    return UNKNOWN(said)


def _plain(code: str) -> str:
    code = re.sub(r"[\s_-]", "", code.lower())
    return code.removeprefix("internalerror.algo.")


def _as(
    kind: type[ServiceError],
    detail: str,
    *,
    retryable: bool | None = None,
    may_be_billed: bool | None = None,
) -> Callable[[Said], ServiceError]:
    return lambda _: kind(detail, retryable=retryable, may_be_billed=may_be_billed)


def _field(field: str, reason: str) -> Callable[[Said], ServiceError]:
    return lambda _: InvalidRequest(
        "The upstream refused a field of the request.", fields=[FieldError(field, reason)]
    )


def _named_field(said: Said) -> ServiceError:
    """The upstream quotes the field that it refuses: `Invalid 'top_p': 9. Expected …`."""
    found = re.search(NAMED_FIELD, said.message, re.IGNORECASE)
    name = found[1] if found else "body"
    return _field(name, "the upstream refused the value")(said)


EARLIER = "previous_response_id"
"""The field that names an answer; where one is asked for by its address, that is what it names."""

NAMED_FIELD = r"\binvalid '([a-z_.]{1,60})':"
UNAVAILABLE = _as(UpstreamUnavailable, "The upstream failed on its own side.", may_be_billed=True)
REJECTED = _as(UpstreamRejected, "The upstream refused the request that this service made.")
UNKNOWN = UNAVAILABLE
TIMED_OUT_DOWNLOAD = r"(media|multimodal|download).*(timed out|timeout)"
IMAGE_REFUSED = (
    r"(failed|unable) to (decode|download|find|fetch)[^.]*(image|media|multimodal)"
    r"|authorization to access the media"
    r"|media format is not supported"
    r"|image size is not supported"
    r"|content-(type|length) of multimodal"
    r"|provided url does not appear"
)

TABLE = (
    Row(
        _as(UpstreamAccount, "The account behind this service is overdue or lacks the product."),
        r"arrearage|commoditynotpurchased|(prepaid|postpaid)billoverdue"
        r"|accessdenied\.unpurchased|allocationquota\.freetieronly",
        r"account is in good standing",
    ),
    Row(
        _as(ContentBlocked, "The upstream's content inspection refused the image or the text."),
        r"datainspectionfailed",
        r"inappropriate content",
    ),
    Row(
        _as(
            ImageUnfetchable,
            "The upstream ran out of time while it downloaded an image.",
            retryable=True,
        ),
        message=TIMED_OUT_DOWNLOAD,
    ),
    Row(
        _as(ImageDimensions, "An image's width, height or aspect ratio is not accepted upstream."),
        message=r"length and width do not meet|(height|width):\d+ or|aspect ratio",
    ),
    Row(
        _as(ImageTooLarge, "An image is too large for the upstream."),
        r"badrequest\.toolarge",
        r"max bytes per data-uri|multimodal file size is too large|string value length",
        frozenset({413}),
    ),
    Row(
        _as(ImageUnfetchable, "The upstream could not download or decode an image."),
        r"invalidparameter\.datainspection",
        IMAGE_REFUSED,
    ),
    Row(
        _as(UpstreamRejected, "The model is not available upstream."),
        r"modelnotfound",
        r"unsupported model|model not exist|model .{1,80} does not exist",
    ),
    Row(
        _field("prompt", "the input is longer than the model takes"),
        message=r"range of input length",
    ),
    Row(
        _field("max_output_tokens", "out of the model's range"),
        message=r"range of max_(output_)?tokens|invalid 'max_output_tokens'",
    ),
    Row(
        _field(EARLIER, "the upstream knows no such response"),
        message=r"not found previous_response_id|\bresponse with id .{1,200} not found",
    ),
    Row(_named_field, message=NAMED_FIELD),
    Row(
        _as(UpstreamAuthFailed, "The upstream does not let this service's key do that."),
        r"invalidapikey|notauthorized|((model|workspace|endpoint)\.)?accessdenied",
        r"api.key provided",
        frozenset({401, 403}),
    ),
    Row(
        _as(UpstreamRateLimited, "The upstream is throttling; try again shortly."),
        r"throttling(\..*)?|limitrequests|limitburstrate|resourceexhausted|insufficientquota"
        r"|allocationquota|ratelimitexceeded|serviceunavailable|modelunavailable",
        r"rate limit exceeded|too many (concurrent )?requests|requests throttling"
        r"|request rate increased too quickly|allocated quota exceeded"
        r"|exceeded your current (quota|requests)",
        frozenset({429, 503}),
    ),
    Row(
        _as(UpstreamTimeout, "The upstream gave up at its own limit on the total time."),
        r"requesttimeout",
        r"^(<\d+>\s*)?request timed out",
        frozenset({408}),
    ),
    Row(
        _as(UpstreamRejected, "The upstream wants to redirect, which is not followed."),
        statuses=frozenset(range(300, 400)),
    ),
    Row(
        REJECTED,
        r"invalidparameter(error|\..*)?|badrequest(\..*)?|invalidrequesterror"
        r"|missingrequiredparameter|notfound|methodnotallowed",
        statuses=frozenset(range(400, 500)),
    ),
    Row(UNAVAILABLE, statuses=frozenset(range(500, 600))),
)
