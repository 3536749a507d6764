"""The one table from the upstream's codes and messages to our errors: the first row that fits.

Each row names its sources: PAGE, DashScope's page of error codes; COPY, copies of that page with
more messages, and users' reports (2026-11); LIVE, answers recorded from the live service; HTTP,
RFC 9110 §15.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from app import errors
from app.errors import ImageUnfetchable, InvalidRequest, ServiceError, UpstreamRejected

NEVER = r"(?!)"
INVALID = r"invalidparameter(error|\..*)?|badrequest(\..*)?|invalidrequesterror"
REFUSALS, FAILURES, ANY = range(400, 500), range(500, 600), range(1000)
EARLIER_RESPONSE = "previous_response_id"
TIMED_OUT = r"timed?.?out"
UNFETCHABLE = "The upstream could not download or decode an image."


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as the upstream reported it: its code, and the one that stood in the message."""

    status: int
    codes: tuple[str, str]
    message: str
    has_usage: bool

    def has_code(self, pattern: str) -> bool:
        """Whether a code fits, in one spelling: `limit_requests` and `LimitRequests` are one."""
        plain = (re.sub(r"[\s_-]", "", code.lower()) for code in self.codes)
        return any(re.fullmatch(rf"(internalerror\.algo\.)?({pattern})", code) for code in plain)


@dataclass(frozen=True, slots=True)
class Row:
    """Fits a failure by one of its codes (all of it), its message (a part), or its status."""

    error: type[ServiceError]
    source: str
    detail: str
    codes: str = NEVER
    message: str = NEVER
    statuses: Container[int] = ()
    field: str = ""  # Which an `InvalidRequest` blames; else the message's group `field`.
    within: Container[int] = ANY  # Statuses under which the message is looked at.

    def make(self, failure: Failure) -> ServiceError | None:
        """The error for this failure, if the row fits."""
        found = re.search(self.message, failure.message, re.IGNORECASE)
        fits = found if failure.status in self.within else None
        if fits and self.error is InvalidRequest:
            return InvalidRequest.of(self.field or fits["field"], self.detail)
        if fits or failure.has_code(self.codes) or failure.status in self.statuses:
            return self.error(self.detail)
        return None


# fmt: off
error_table = (
    Row(errors.UpstreamAccount, "PAGE", "The account is overdue or lacks the product.",
        r"arrearage|commoditynotpurchased|(prepaid|postpaid)billoverdue"
        r"|accessdenied\.unpurchased|allocationquota\.freetieronly",
        r"account is in good standing"),
    Row(errors.ContentBlocked, "PAGE COPY", "Content inspection refused the image or the text.",
        r"datainspectionfailed|ipinfringementsuspect|(faqrule|customrole)blocked",
        r"inappropriate content|green network verification"),
    Row(errors.ImageDimensions, "PAGE COPY", "An image's dimensions are not accepted upstream.",
        r"invalidimageresolution",
        r"length and width do not meet|(height|width):\d+ or|aspect ratio"
        r"|too small after resizing|size of input image is too|image resolution is too"),
    Row(errors.ImageTooLarge, "PAGE COPY LIVE", "An image is too large for the upstream.",
        r"badrequest\.toolarge|invalidfile\.size",
        r"max bytes per data-uri|multimodal file size is too large|string value length"
        r"|invalid file size", (413,)),
    Row(ImageUnfetchable, "PAGE COPY", UNFETCHABLE,
        r"invalidparameter\.datainspection|invalidurl(\..*)?|invalidimageformat"
        r"|invalidimage\.fileformat|invalidfile\.openerror|badrequest\.inputdownloadfailed",
        r"(failed|unable) to (decode|download|find|fetch)[^.]*(image|media|multimodal|input file)"
        rf"|(media|multimodal|download).*{TIMED_OUT}|content-(type|length) of multimodal"
        r"|provided url does not appear|request url is invalid|connection to .{1,300} refused"),
    Row(UpstreamRejected, "PAGE", "The model is not available upstream.", r"modelnotfound",
        r"unsupported model|model not exist|model .{1,80} does not exist"),
    Row(InvalidRequest, "PAGE COPY", "the input is longer than the model takes",
        message=r"range of input length|total message token length", field="prompt"),
    Row(InvalidRequest, "COPY", "the text contains a reserved token",
        message=r"invalid text:", field="prompt"),
    Row(InvalidRequest, "PAGE LIVE", "out of the model's range", field="max_output_tokens",
        message=r"range of max_(output_)?tokens|invalid 'max_output_tokens'"),
    Row(InvalidRequest, "PAGE LIVE", "the upstream knows no such response", field=EARLIER_RESPONSE,
        message=r"not found previous_response_id|\bresponse with id .{1,200} not found"),
    Row(InvalidRequest, "LIVE", "the upstream refused the value",
        message=r"\binvalid '(?P<field>[a-z_.]{1,60})':"),
    Row(errors.UpstreamAuthFailed, "PAGE COPY", "The upstream refused this service's key.",
        r"invalidapikey|notauthorized|((model|workspace|endpoint)\.)?accessdenied",
        r"api.key provided|invalid access token", (401, 403)),
    Row(errors.UpstreamRateLimited, "PAGE LIVE", "The upstream is throttling; try again shortly.",
        r"throttling(\..*)?|limitrequests|limitburstrate|resourceexhausted|insufficientquota"
        r"|allocationquota|ratelimitexceeded|serviceunavailable|modelunavailable",
        r"rate limit exceeded|too many (concurrent )?requests|requests throttling"
        r"|request rate increased too quickly|allocated quota exceeded"
        r"|exceeded your current (quota|requests)", (429, 503)),
    Row(errors.UpstreamTimeout, "PAGE", "The upstream gave up at its own limit on the total time.",
        r"requesttimeout", r"^(<\d+>\s*)?request timed out", (408,)),
    Row(UpstreamRejected, "HTTP", "The upstream redirects, which is not followed.",
        statuses=range(300, 400)),
    Row(ImageUnfetchable, "COPY", UNFETCHABLE, within=(200, 400),
        message=r"\b(image|picture|photo|url|multimodal|media|file|download)s?\b"),
    Row(UpstreamRejected, "PAGE LIVE", "The upstream refused the request that this service made.",
        rf"{INVALID}|missingrequiredparameter|notfound|methodnotallowed", statuses=REFUSALS),
)
# fmt: on


def classify(failure: Failure) -> ServiceError:
    """Our error for what the upstream reported, with a sentence of our own."""
    error = next((made for row in error_table if (made := row.make(failure))), None)
    error = error or errors.UpstreamUnavailable("The upstream failed on its own side.")
    if isinstance(error, ImageUnfetchable):
        said = failure.codes[0] + failure.message
        error.retryable = bool(re.search(TIMED_OUT, said, re.IGNORECASE))
    # What was refused costs nothing, unless usage was reported.
    gave_up = isinstance(error, errors.UpstreamTimeout) and failure.status not in REFUSALS
    broke = isinstance(error, errors.UpstreamUnavailable) and failure.status in FAILURES
    error.billed = "maybe" if failure.has_usage or gave_up or broke else "no"
    return error
