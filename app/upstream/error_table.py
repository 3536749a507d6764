"""The one table from the upstream's codes and messages to our errors: the first row that fits.

Each row names its source: PAGE, DashScope's page of error codes; COPY, copies of that page with
more messages, and users' reports (2026-11); LIVE, answers recorded from the live service; HTTP,
RFC 9110 §15.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from app.errors import (
    Billed,
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

PAGE, COPY, LIVE, HTTP = ("error page",), ("its copies",), ("recorded answers",), ("RFC 9110",)

EARLIER_RESPONSE = "previous_response_id"
NOTHING = r"(?!)"
INVALID = r"invalidparameter(error|\..*)?|badrequest(\..*)?|invalidrequesterror"
BAD_REQUEST, REDIRECTS, REFUSALS, FAILURES = 400, range(300, 400), range(400, 500), range(500, 600)
UNFETCHABLE = "The upstream could not download or decode an image."
UNAVAILABLE = "The upstream failed on its own side."


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """A failure as the upstream reported it. `embedded_code` stood in the message."""

    status: int
    code: str
    embedded_code: str
    message: str
    request_id: str | None = None
    has_usage: bool = False

    @property
    def codes(self) -> list[str]:
        """The codes in one spelling: `limit_requests` and `LimitRequests` are the same."""
        plain = (re.sub(r"[\s_-]", "", code.lower()) for code in (self.code, self.embedded_code))
        return [code.removeprefix("internalerror.algo.") for code in plain if code]

    @property
    def is_timeout(self) -> bool:
        """Whether it mentions a time-out."""
        return bool(re.search(r"timed?[ -]?out", f"{self.code} {self.message}", re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class Row:
    """Fits a failure by one of its codes (in whole), its message (a part of it), or its status.

    `field` is the request's field to blame; without it, the message's group `field` is.
    """

    error: type[ServiceError]
    detail: str
    source: tuple[str, ...]
    codes: str = NOTHING
    message: str = NOTHING
    statuses: Container[int] = ()
    field: str = ""

    def make(self, failure: UpstreamFailure) -> ServiceError | None:
        """The error for this failure, if the row fits."""
        found = re.search(self.message, failure.message, re.IGNORECASE)
        coded = any(re.fullmatch(self.codes, code) for code in failure.codes)
        if not (coded or found or failure.status in self.statuses):
            return None
        if self.error is not InvalidRequest:
            return self.error(self.detail)
        field = self.field or (found["field"] if found else "body")
        fields = [FieldError(field, self.detail)]
        return InvalidRequest("The upstream refused a field of the request.", fields=fields)


def classify(failure: UpstreamFailure) -> ServiceError:
    """Our error for what the upstream reported, with a sentence of our own."""
    error = next((made for row in error_table if (made := row.make(failure))), None)
    error = error or UpstreamUnavailable(UNAVAILABLE)
    if isinstance(error, UpstreamRejected) and _names_a_picture(failure):
        error = ImageUnfetchable(UNFETCHABLE)
    if isinstance(error, ImageUnfetchable):
        error.retryable = failure.is_timeout
    error.billed = _billed(error, failure)
    return error


def _names_a_picture(failure: UpstreamFailure) -> bool:
    """Whether an answer of no known kind, that says 400 or "invalid", is about a picture."""
    invalid = any(re.fullmatch(INVALID, code) for code in failure.codes)
    words = r"\b(image|picture|photo|url|multimodal)s?\b"
    bad_request = failure.status == BAD_REQUEST or (invalid and failure.status not in REFUSALS)
    return bad_request and bool(re.search(words, failure.message, re.IGNORECASE))


def _billed(error: ServiceError, failure: UpstreamFailure) -> Billed:
    """Whether it may cost money: not what was refused, unless usage was reported."""
    gave_up = isinstance(error, UpstreamTimeout) and failure.status not in REFUSALS
    broke = isinstance(error, UpstreamUnavailable) and failure.status in FAILURES
    return "maybe" if failure.has_usage or gave_up or broke else "no"


error_table = (
    Row(
        UpstreamAccount,
        "The account behind this service is overdue or lacks the product.",
        PAGE,
        r"arrearage|commoditynotpurchased|(prepaid|postpaid)billoverdue"
        r"|accessdenied\.unpurchased|allocationquota\.freetieronly",
        r"account is in good standing",
    ),
    Row(
        ContentBlocked,
        "The upstream's content inspection refused the image or the text.",
        PAGE + COPY,
        r"datainspectionfailed|ipinfringementsuspect|(faqrule|customrole)blocked",
        r"inappropriate content|green network verification",
    ),
    Row(
        ImageUnfetchable,
        "The upstream ran out of time while it downloaded an image.",
        PAGE + COPY,
        r"invalidurl\.timeout",
        r"(media|multimodal|download).*(timed out|timeout)",
    ),
    Row(
        ImageDimensions,
        "An image's width, height or aspect ratio is not accepted upstream.",
        PAGE + COPY,
        r"invalidimageresolution",
        r"length and width do not meet|(height|width):\d+ or|aspect ratio"
        r"|too small after resizing|size of input image is too|image resolution is too",
    ),
    Row(
        ImageTooLarge,
        "An image is too large for the upstream.",
        PAGE + COPY + LIVE,
        r"badrequest\.toolarge|invalidfile\.size",
        r"max bytes per data-uri|multimodal file size is too large|string value length"
        r"|invalid file size",
        (413,),
    ),
    Row(
        ImageUnfetchable,
        UNFETCHABLE,
        PAGE + COPY,
        r"invalidparameter\.datainspection|invalidurl(\..*)?|invalidimageformat"
        r"|invalidimage\.fileformat|invalidfile\.openerror|badrequest\.inputdownloadfailed",
        r"(failed|unable) to (decode|download|find|fetch)[^.]*(image|media|multimodal|input file)"
        r"|authorization to access the media|media format is not supported"
        r"|image size is not supported|content-(type|length) of multimodal"
        r"|provided url does not appear|request url is invalid|connection to .* refused"
        r"|(image|file) format is illegal|invalid image format|image is in invalid format"
        r"|read image error|image format error|download image failed"
        r"|oss download error|input files format not supported",
    ),
    Row(
        UpstreamRejected,
        "The model is not available upstream.",
        PAGE,
        r"modelnotfound",
        r"unsupported model|model not exist|model .{1,80} does not exist",
    ),
    Row(
        InvalidRequest,
        "the input is longer than the model takes",
        PAGE + COPY,
        message=r"range of input length|total message token length",
        field="prompt",
    ),
    Row(
        InvalidRequest,
        "the text contains a reserved token",
        COPY,
        message=r"invalid text:",
        field="prompt",
    ),
    Row(
        InvalidRequest,
        "out of the model's range",
        PAGE + LIVE,
        message=r"range of max_(output_)?tokens|invalid 'max_output_tokens'",
        field="max_output_tokens",
    ),
    Row(
        InvalidRequest,
        "the upstream knows no such response",
        PAGE + LIVE,
        message=r"not found previous_response_id|\bresponse with id .{1,200} not found",
        field=EARLIER_RESPONSE,
    ),
    Row(
        InvalidRequest,
        "the upstream refused the value",
        LIVE,
        message=r"\binvalid '(?P<field>[a-z_.]{1,60})':",
    ),
    Row(
        UpstreamAuthFailed,
        "The upstream refused this service's key, or what it asked for.",
        PAGE + COPY,
        r"invalidapikey|notauthorized|((model|workspace|endpoint)\.)?accessdenied",
        r"api.key provided|invalid access token",
        (401, 403),
    ),
    Row(
        UpstreamRateLimited,
        "The upstream is throttling; try again shortly.",
        PAGE + LIVE,
        r"throttling(\..*)?|limitrequests|limitburstrate|resourceexhausted|insufficientquota"
        r"|allocationquota|ratelimitexceeded|serviceunavailable|modelunavailable",
        r"rate limit exceeded|too many (concurrent )?requests|requests throttling"
        r"|request rate increased too quickly|allocated quota exceeded"
        r"|exceeded your current (quota|requests)",
        (429, 503),
    ),
    Row(
        UpstreamTimeout,
        "The upstream gave up at its own limit on the total time.",
        PAGE,
        r"requesttimeout",
        r"^(<\d+>\s*)?request timed out",
        (408,),
    ),
    Row(
        UpstreamRejected,
        "The upstream redirects, which is not followed.",
        HTTP,
        statuses=REDIRECTS,
    ),
    Row(
        UpstreamRejected,
        "The upstream refused the request that this service made.",
        PAGE + LIVE,
        rf"{INVALID}|missingrequiredparameter|notfound|methodnotallowed",
        statuses=REFUSALS,
    ),
    Row(UpstreamUnavailable, UNAVAILABLE, PAGE + HTTP, statuses=FAILURES),
)
