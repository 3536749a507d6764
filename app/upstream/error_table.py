"""The one table from the upstream's codes and messages to our errors: the first row that fits.

Each row names its sources: PAGE, DashScope's page of error codes; COPY, copies of that page with
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

PAGE, COPY, LIVE, HTTP = ("PAGE",), ("COPY",), ("LIVE",), ("HTTP",)
NOTHING = r"(?!)"
INVALID = r"invalidparameter(error|\..*)?|badrequest(\..*)?|invalidrequesterror"
HTTP_OK, BAD_REQUEST, REFUSALS, FAILURES = 200, 400, range(400, 500), range(500, 600)
EARLIER_RESPONSE = "previous_response_id"
TIME_OUT, TIME_OUT_CODE = r"timed?[ -]?out", r"invalidurl\.timeout"
UNFETCHABLE = "The upstream could not download or decode an image."


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """A failure as the upstream reported it. `embedded_code` stood in the message."""

    status: int
    code: str
    embedded_code: str
    message: str
    request_id: str | None = None
    has_usage: bool = False

    def has_code(self, pattern: str) -> bool:
        """Whether a code fits, in one spelling: `limit_requests` and `LimitRequests` are one."""
        plain = (re.sub(r"[\s_-]", "", code.lower()) for code in (self.code, self.embedded_code))
        return any(re.fullmatch(rf"(internalerror\.algo\.)?({pattern})", code) for code in plain)

    def says(self, pattern: str) -> re.Match[str] | None:
        """Where the message fits."""
        return re.search(pattern, self.message, re.IGNORECASE)

    @property
    def is_bad_request(self) -> bool:
        """Whether it means a 400; streams say so by the code, under HTTP 200."""
        return self.status == BAD_REQUEST or (self.status == HTTP_OK and self.has_code(INVALID))


@dataclass(frozen=True, slots=True)
class Row:
    """Fits a failure by one of its codes (all of it), its message (a part), or its status.

    `field` is the request's field to blame; without it, the message's group `field` is. With
    `only_bad_requests` it fits no failure of another kind.
    """

    error: type[ServiceError]
    source: tuple[str, ...]
    detail: str
    codes: str = NOTHING
    message: str = NOTHING
    statuses: Container[int] = ()
    field: str = ""
    only_bad_requests: bool = False

    def make(self, failure: UpstreamFailure) -> ServiceError | None:
        """The error for this failure, if the row fits."""
        found = failure.says(self.message)
        if not (found or failure.has_code(self.codes) or failure.status in self.statuses):
            return None
        if self.only_bad_requests and not failure.is_bad_request:
            return None
        if self.error is not InvalidRequest:
            return self.error(self.detail)
        field = FieldError(self.field or (found["field"] if found else "body"), self.detail)
        return InvalidRequest("The upstream refused a field of the request.", fields=[field])


# fmt: off
error_table = (
    Row(UpstreamAccount, PAGE, "The account behind this service is overdue or lacks the product.",
        r"arrearage|commoditynotpurchased|(prepaid|postpaid)billoverdue"
        r"|accessdenied\.unpurchased|allocationquota\.freetieronly",
        r"account is in good standing"),
    Row(ContentBlocked, PAGE + COPY, "The upstream's inspection refused the image or the text.",
        r"datainspectionfailed|ipinfringementsuspect|(faqrule|customrole)blocked",
        r"inappropriate content|green network verification"),
    Row(ImageUnfetchable, PAGE + COPY, "The upstream's download of an image took too long.",
        TIME_OUT_CODE, rf"(media|multimodal|download).*{TIME_OUT}"),
    Row(ImageDimensions, PAGE + COPY, "An image's dimensions are not accepted upstream.",
        r"invalidimageresolution",
        r"length and width do not meet|(height|width):\d+ or|aspect ratio"
        r"|too small after resizing|size of input image is too|image resolution is too"),
    Row(ImageTooLarge, PAGE + COPY + LIVE, "An image is too large for the upstream.",
        r"badrequest\.toolarge|invalidfile\.size",
        r"max bytes per data-uri|multimodal file size is too large|string value length"
        r"|invalid file size", (413,)),
    Row(ImageUnfetchable, PAGE + COPY, UNFETCHABLE,
        r"invalidparameter\.datainspection|invalidurl(\..*)?|invalidimageformat"
        r"|invalidimage\.fileformat|invalidfile\.openerror|badrequest\.inputdownloadfailed",
        r"(failed|unable) to (decode|download|find|fetch)[^.]*(image|media|multimodal|input file)"
        r"|authorization to access the media|media format is not supported"
        r"|image size is not supported|content-(type|length) of multimodal"
        r"|provided url does not appear|request url is invalid|connection to .* refused"
        r"|(image|file) format is illegal|invalid image format|image is in invalid format"
        r"|read image error|image format error|download image failed|oss download error"
        r"|input files format not supported"),
    Row(UpstreamRejected, PAGE, "The model is not available upstream.", r"modelnotfound",
        r"unsupported model|model not exist|model .{1,80} does not exist"),
    Row(InvalidRequest, PAGE + COPY, "the input is longer than the model takes",
        message=r"range of input length|total message token length", field="prompt"),
    Row(InvalidRequest, COPY, "the text contains a reserved token",
        message=r"invalid text:", field="prompt"),
    Row(InvalidRequest, PAGE + LIVE, "out of the model's range", field="max_output_tokens",
        message=r"range of max_(output_)?tokens|invalid 'max_output_tokens'"),
    Row(InvalidRequest, PAGE + LIVE, "the upstream knows no such response", field=EARLIER_RESPONSE,
        message=r"not found previous_response_id|\bresponse with id .{1,200} not found"),
    Row(InvalidRequest, LIVE, "the upstream refused the value",
        message=r"\binvalid '(?P<field>[a-z_.]{1,60})':"),
    Row(UpstreamAuthFailed, PAGE + COPY, "The upstream refused this service's key.",
        r"invalidapikey|notauthorized|((model|workspace|endpoint)\.)?accessdenied",
        r"api.key provided|invalid access token", (401, 403)),
    Row(UpstreamRateLimited, PAGE + LIVE, "The upstream is throttling; try again shortly.",
        r"throttling(\..*)?|limitrequests|limitburstrate|resourceexhausted|insufficientquota"
        r"|allocationquota|ratelimitexceeded|serviceunavailable|modelunavailable",
        r"rate limit exceeded|too many (concurrent )?requests|requests throttling"
        r"|request rate increased too quickly|allocated quota exceeded"
        r"|exceeded your current (quota|requests)", (429, 503)),
    Row(UpstreamTimeout, PAGE, "The upstream gave up at its own limit on the total time.",
        r"requesttimeout", r"^(<\d+>\s*)?request timed out", (408,)),
    Row(UpstreamRejected, HTTP, "The upstream redirects, which is not followed.",
        statuses=range(300, 400)),
    Row(ImageUnfetchable, COPY, UNFETCHABLE, only_bad_requests=True,
        message=r"\b(image|picture|photo|url|multimodal)s?\b"),
    Row(UpstreamRejected, PAGE + LIVE, "The upstream refused the request that this service made.",
        rf"{INVALID}|missingrequiredparameter|notfound|methodnotallowed", statuses=REFUSALS),
)
# fmt: on


def classify(failure: UpstreamFailure) -> ServiceError:
    """Our error for what the upstream reported, with a sentence of our own."""
    error = next((made for row in error_table if (made := row.make(failure))), None)
    error = error or UpstreamUnavailable("The upstream failed on its own side.")
    if isinstance(error, ImageUnfetchable):
        error.retryable = bool(
            re.search(r"timed?.?out", failure.code + failure.message, re.IGNORECASE)
        )
    error.billed = _billed(error, failure)
    return error


def _billed(error: ServiceError, failure: UpstreamFailure) -> Billed:
    """Whether it may cost money: not what was refused, unless usage was reported."""
    gave_up = isinstance(error, UpstreamTimeout) and failure.status not in REFUSALS
    broke = isinstance(error, UpstreamUnavailable) and failure.status in FAILURES
    return "maybe" if failure.has_usage or gave_up or broke else "no"
