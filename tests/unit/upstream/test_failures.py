# ruff: noqa: E501 - a table reads best with one row a line
"""What the upstream says of a failure, in each of its envelopes, and the error that it becomes."""

import json
from collections.abc import Callable

import pytest

from app.errors import (
    ContentBlocked,
    ImageDimensions,
    ImageTooLarge,
    ImageUnfetchable,
    InvalidRequest,
    ServiceError,
    UpstreamAccount,
    UpstreamAuthFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReport,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.upstream.failures import failure_in_event, failure_in_response
from tests.dashscope import failed

# fmt: off
ROWS: list[tuple[type[ServiceError], int, str, str]] = [
    (ImageUnfetchable, 400, "InvalidParameter", "The provided URL does not appear to be valid."),
    (ImageUnfetchable, 400, "InvalidParameter.DataInspection", "Unable to download the media resource during it."),
    (ImageUnfetchable, 400, "InvalidParameter", "Failed to decode the image during the data inspection."),
    (ImageUnfetchable, 400, "InvalidParameter", "Download the media resource timed out during it."),
    (ImageUnfetchable, 400, "invalid_parameter_error", "The image format is illegal and cannot be opened"),
    (ImageUnfetchable, 400, "invalid_parameter_error", "The file format is illegal and cannot be opened."),
    (ImageUnfetchable, 400, "InvalidParameter", "Invalid image format or corrupted file"),
    (ImageUnfetchable, 400, "InvalidParameter", "read image error."),
    (ImageUnfetchable, 400, "InvalidParameter", "download image failed"),
    (ImageUnfetchable, 400, "InvalidParameter", "oss download error."),
    (ImageUnfetchable, 400, "InvalidParameter", "Failed to download input files."),
    (ImageUnfetchable, 400, "InvalidParameter", "Input files format not supported."),
    (ImageUnfetchable, 400, "InvalidURL", "The request URL is invalid, please check it"),
    (ImageUnfetchable, 400, "InvalidURL.Timeout", "Download https://a.example/b timeout, check it"),
    (ImageUnfetchable, 400, "InvalidURL.ConnectionRefused", "Connection to a.example refused, check it"),
    (ImageUnfetchable, 400, "InvalidImageFormat", "The input image is in invalid format."),
    (ImageUnfetchable, 400, "InvalidFile.Openerror", "It cannot be opened."),
    (ImageUnfetchable, 400, "invalid_parameter_error", "Download multimodal file timed out"),
    (ImageUnfetchable, 400, "invalid_parameter_error", "Wrong Content-Type of multimodal url"),
    (ImageUnfetchable, 400, "BadRequest.InputDownloadFailed", "Failed to download the input file: x."),
    (ImageUnfetchable, 500, "InternalError", "Missing Content-Length of multimodal url."),
    (ImageUnfetchable, 400, "InvalidParameter", "Something new about this picture."),
    (ImageUnfetchable, 400, "InvalidParameter", "Something new about this URL timed out."),
    (ImageDimensions, 400, "InvalidParameter", "The image length and width do not meet the model restrictions."),
    (ImageDimensions, 400, "invalid_parameter_error", "Input image is too small after resizing based on max_pixels."),
    (ImageDimensions, 400, "invalid_parameter_error", "the size of input image is too small or too large."),
    (ImageDimensions, 400, "InvalidImageResolution", "The input image resolution is too large or small."),
    (ImageTooLarge, 400, "InvalidFile.Size", "Invalid file size, it is too large"),
    (ImageTooLarge, 400, "InvalidParameter", "Multimodal file size is too large"),
    (ImageTooLarge, 400, "BadRequest.TooLarge", "Exceeded limit on max bytes per data-uri item : 20971520"),
    (InvalidRequest, 400, "InvalidParameter", "Range of input length should be [1, 129024]"),
    (InvalidRequest, 400, "invalid_parameter_error", "Total message token length exceed model limit (9 tokens)."),
    (InvalidRequest, 400, "invalid_parameter_error", "Invalid text: <|image_pad|>"),
    (InvalidRequest, 400, "InvalidParameter", "Invalid 'top_p': 9. Expected a value between (0,1]."),
    (InvalidRequest, 400, "InvalidParameter", "Not found previous_response_id: resp_1"),
    (ContentBlocked, 400, "DataInspectionFailed", "Input or output data may contain inappropriate content."),
    (ContentBlocked, 400, "data_inspection_failed", "Refused."),
    (ContentBlocked, 400, "IPInfringementSuspect", "Suspected."),
    (ContentBlocked, 400, "FaqRuleBlocked", "Blocked."),
    (ContentBlocked, 400, "InvalidParameter", "The image does not comply with green network verification."),
    (UpstreamAccount, 400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    (UpstreamAccount, 429, "PrepaidBillOverdue", "The prepaid bill is overdue."),
    (UpstreamAccount, 403, "AllocationQuota.FreeTierOnly", "The free tier is used up."),
    (UpstreamAuthFailed, 401, "InvalidApiKey", "Invalid API-key provided."),
    (UpstreamAuthFailed, 401, "NOT AUTHORIZED", "Workspace."),
    (UpstreamAuthFailed, 401, "", "invalid access token or token expired"),
    (UpstreamAuthFailed, 403, "Model.AccessDenied", "Denied."),
    (UpstreamRejected, 400, "InvalidParameter", "Unsupported model: 'qwen-image'"),
    (UpstreamRejected, 400, "InvalidParameter", "Agent capabilities are not enabled for the current model."),
    (UpstreamRejected, 404, "model_not_found", "Unsupported model x for OpenAI compatibility mode."),
    (UpstreamRejected, 405, "Method Not Allowed", "Method 'GET' is not allowed."),
    (UpstreamRateLimited, 429, "Throttling.BurstRate", "Request rate increased too quickly."),
    (UpstreamRateLimited, 429, "limit_requests", "You exceeded your current requests list."),
    (UpstreamRateLimited, 429, "insufficient_quota", "You exceeded your current quota, please check it."),
    (UpstreamRateLimited, 503, "ModelUnavailable", "Too many requests. You are being throttled."),
    (UpstreamTimeout, 500, "RequestTimeOut", "Request timed out, please try again later."),
    (UpstreamUnavailable, 500, "InternalError.Algo", "'agent_api_metadata'"),
    (UpstreamUnavailable, 500, "SystemError", "A system error has occured."),
]
# fmt: on


def flat(status: int, code: str, message: str) -> ServiceError:
    body = {"code": code, "message": message, "request_id": "req-1"}
    return failure_in_response(status, {}, json.dumps(body).encode())


def nested(status: int, code: str, message: str) -> ServiceError:
    error = {"message": message, "type": code, "param": None, "code": code}
    body = json.dumps({"error": error, "request_id": "req-1"})
    return failure_in_response(status, {}, f"data: {body}".encode())


def failed_body(status: int, code: str, message: str) -> ServiceError:
    body = failed(code, f"<{status}> InternalError.Algo: {message}")
    return failure_in_response(200, {"x-request-id": "req-1"}, json.dumps(body).encode())


def error_event(status: int, code: str, message: str) -> ServiceError:
    data = {"code": code, "message": message, "request_id": "req-1"}
    return failure_in_event("error", json.dumps(data).encode(), {}, http_status=status)


@pytest.mark.parametrize("envelope", [flat, nested, failed_body, error_event])
@pytest.mark.parametrize(("kind", "status", "code", "message"), ROWS)
def test_a_failure_means_the_same_in_every_envelope(
    kind: type[ServiceError],
    status: int,
    code: str,
    message: str,
    envelope: Callable[[int, str, str], ServiceError],
) -> None:
    error = envelope(status, code, message)
    assert type(error) is kind
    timed_out = "timed out" in message or "timeout" in message
    assert error.retryable is (kind.retryable or (kind is ImageUnfetchable and timed_out))
    assert error.billed == ("maybe" if kind in (UpstreamTimeout, UpstreamUnavailable) else "no")
    assert message not in error.detail
    assert error.upstream
    assert (error.upstream.status, error.upstream.request_id) == (status, "req-1")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (UpstreamRateLimited, "Operation model request rate limit exceeded, please try later."),
        (UpstreamRateLimited, "<429> InternalError.Algo: [Too many requests.]"),
        (UpstreamRateLimited, "<503> InternalError.Algo: overloaded"),
        (UpstreamUnavailable, "Backend buffer overflow."),
        (ContentBlocked, "<400> InternalError.Algo.DataInspectionFailed: refused"),
        (UpstreamRejected, "[400] missing_required_parameter: Missing required parameter."),
    ],
)
def test_a_failed_response_under_http_200_is_judged_by_its_message(
    kind: type[ServiceError], message: str
) -> None:
    event = json.dumps({"response": failed("server_error", message)}).encode()
    error = failure_in_event("response.failed", event, {})
    assert (type(error), error.billed) == (kind, "no")
    assert error.upstream_event == ("response.failed", event)


def test_a_failure_that_reports_usage_may_be_billed() -> None:
    response = failed("server_error", "Too many requests") | {"usage": {"input_tokens": 7}}
    error = failure_in_event("response.failed", json.dumps({"response": response}).encode(), {})
    assert error.billed == "maybe"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Range of input length should be [1, 9]", "prompt"),
        ("Range of max_tokens should be [1, 9]", "max_output_tokens"),
        ("Invalid 'reasoning.effort': bogus.", "reasoning.effort"),
        ("Previous response with id 'resp_1' not found.", "previous_response_id"),
    ],
)
def test_a_refusal_of_the_callers_own_field_names_it(message: str, field: str) -> None:
    assert [one.field for one in flat(400, "InvalidParameter", message).fields] == [field]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "999999999999"}, 3600),
        (
            {
                "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT",
                "date": "Sun, 06 Nov 1994 08:49:30 GMT",
            },
            7,
        ),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], wait_s: int | None) -> None:
    assert failure_in_response(429, headers, b"{}").retry_after_s == wait_s


def test_the_report_is_short_and_holds_no_picture_and_no_signature() -> None:
    message = f"Bad data:image/png;base64,{'A' * 999} at https://a.example/b?sig=1 \n{'x ' * 999}"
    report = flat(400, "Odd", message).upstream
    assert report
    shown = report.message or ""
    assert shown.startswith("Bad data:… at https://a.example/b?… x x")
    assert len(shown) == 500
    page = failure_in_response(502, {}, b"<html>Bad gateway</html>")
    assert page.upstream == UpstreamReport(502, None, "<html>Bad gateway</html>", None)
