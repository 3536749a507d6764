import json
from collections.abc import Callable
from typing import Any

import pytest

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
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReport,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.upstream.failures import (
    MESSAGE_MAX_CHARS,
    from_failed,
    from_frame,
    from_response,
    tells_failure,
)
from tests.upstream.transcript import CREATED, FAILED, block

Kind = type[ServiceError]

IMAGE_BAD: list[tuple[int, str, str, Kind]] = [
    (400, "InvalidParameter.DataInspection", message, ImageUnfetchable)
    for message in (
        "Unable to download the media resource during the data inspection process.",
        "Failed to download multimodal content.",
        "Failed to find the requested media resource during the data inspection process.",
        "Don't have authorization to access the media resource during the data inspection.",
        "Failed to decode the image during the data inspection.",
        "The media format is not supported or incorrect for the data inspection.",
        "The image size is not supported for the data inspection.",
    )
]
THROTTLES: list[tuple[int, str, str, Kind]] = [
    (429, code, message, UpstreamRateLimited)
    for code, message in (
        ("Throttling", "Requests throttling triggered."),
        ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        ("LimitRequests", "Requests rate limit exceeded, please try again later."),
        ("limit_requests", "You exceeded your current requests list."),
        ("ResourceExhausted", "You exceeded your current requests list."),
        ("Throttling.BurstRate", "Request rate increased too quickly."),
        ("limit_burst_rate", "Request rate increased too quickly."),
        ("Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota."),
        ("AllocationQuota", "Allocated quota exceeded, please increase your quota limit."),
        ("insufficient_quota", "You exceeded your current quota, please check your plan."),
        ("Throttling.Concurrency", "Too many concurrent requests."),
    )
]
ROWS: list[tuple[int, str, str, Kind]] = [
    (
        400,
        "InvalidParameter",
        "The provided URL does not appear to be valid. Ensure it is correctly formatted.",
        ImageUnfetchable,
    ),
    (400, "InvalidParameter", "Range of input length should be [1, 129024]", InvalidRequest),
    (400, "InvalidParameter", "Range of max_tokens should be [1, 8192]", InvalidRequest),
    (400, "invalid_parameter_error", "Model not exist.", UpstreamRejected),
    (
        400,
        "InvalidParameter",
        "The image length and width do not meet the model restrictions. [height:1 or width:1 …]",
        ImageDimensions,
    ),
    (
        400,
        "InvalidParameter",
        "Exceeded limit on max bytes per data-uri item : 10485760",
        ImageTooLarge,
    ),
    (400, "InvalidParameter", "Multimodal file size is too large", ImageTooLarge),
    (400, "InvalidParameter", "Wrong Content-Type of multimodal url", ImageUnfetchable),
    (
        400,
        "BadRequest.TooLarge",
        "Exceeded limit on max bytes per data-uri item : 20971520",
        ImageTooLarge,
    ),
    (
        400,
        "BadRequest.TooLarge",
        "String value length (28049408) exceeds the maximum allowed (28000000)",
        ImageTooLarge,
    ),
    *IMAGE_BAD,
    *[(status, "InvalidParameter", message, kind) for status, _, message, kind in IMAGE_BAD],
    (
        400,
        "InvalidParameter.DataInspection",
        "Download the media resource timed out during the data inspection process.",
        ImageUnfetchable,
    ),
    (
        400,
        "DataInspectionFailed",
        "Input or output data may contain inappropriate content.",
        ContentBlocked,
    ),
    (
        400,
        "data_inspection_failed",
        "Input data may contain inappropriate content.",
        ContentBlocked,
    ),
    (400, "DataInspectionFailed", "Output data was refused.", ContentBlocked),
    (400, "DataInspectionFailed", "Input text data was refused.", ContentBlocked),
    (
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
        UpstreamAccount,
    ),
    (
        400,
        "InvalidParameter",
        "<400> InternalError.Algo.InvalidParameter: Agent capabilities are not enabled.",
        UpstreamRejected,
    ),
    (
        400,
        "InvalidParameter",
        "Normal mode does not support Code interpreter. Please set enable_thinking to true.",
        UpstreamRejected,
    ),
    (400, "InvalidParameter", "Unsupported model: 'qwen3.6-27b'", UpstreamRejected),
    (401, "InvalidApiKey", "Invalid API-key provided.", UpstreamAuthFailed),
    (401, "invalid_api_key", "Incorrect API key provided.", UpstreamAuthFailed),
    (401, "InvalidApiKey", "No API-key provided.", UpstreamAuthFailed),
    (401, "NOT AUTHORIZED", "Access denied: Either you are not authorized.", UpstreamAuthFailed),
    (403, "AccessDenied", "Access denied.", UpstreamAuthFailed),
    (403, "AccessDenied.Unpurchased", "Access to model denied.", UpstreamAccount),
    (403, "Model.AccessDenied", "Model access denied.", UpstreamAuthFailed),
    (403, "Workspace.AccessDenied", "Workspace access denied.", UpstreamAuthFailed),
    (403, "Endpoint.AccessDenied", "Endpoint access denied.", UpstreamAuthFailed),
    (403, "AllocationQuota.FreeTierOnly", "The free tier is used up.", UpstreamAccount),
    (
        404,
        "ModelNotFound",
        "The model qwen9 does not exist or you do not have access to it.",
        UpstreamRejected,
    ),
    (
        404,
        "model_not_found",
        "Unsupported model qwen9 for OpenAI compatibility mode.",
        UpstreamRejected,
    ),
    *THROTTLES,
    (429, "CommodityNotPurchased", "Commodity has not been purchased yet.", UpstreamAccount),
    (429, "PrepaidBillOverdue", "The prepaid bill is overdue.", UpstreamAccount),
    (429, "PostpaidBillOverdue", "The postpaid bill is overdue.", UpstreamAccount),
    (500, "InternalError", "An internal error has occured.", UpstreamUnavailable),
    (500, "internal_error", "An internal error has occured.", UpstreamUnavailable),
    (500, "InternalError.Algo", "'agent_api_metadata'", UpstreamUnavailable),
    (500, "InternalError.Algo", "1 validation error for Event object", UpstreamUnavailable),
    (500, "SystemError", "A system error has occured.", UpstreamUnavailable),
    (500, "ModelServiceFailed", "Failed to request the model service.", UpstreamUnavailable),
    (500, "InternalError", "Missing Content-Length of multimodal url.", ImageUnfetchable),
    (500, "RequestTimeOut", "Request timed out, please try again later.", UpstreamTimeout),
    (503, "ServiceUnavailable", "Too many requests. You are being throttled.", UpstreamRateLimited),
    (503, "ModelUnavailable", "Too many requests. You are being throttled.", UpstreamRateLimited),
]
OBSERVED: list[tuple[int, str, str, Kind]] = [
    (
        200,
        "server_error",
        "Operation model request rate limit exceeded, please try again later.",
        UpstreamRateLimited,
    ),
    (200, "server_error", "<429> InternalError.Algo: [Too many requests.]", UpstreamRateLimited),
    (200, "server_error", "<503> InternalError.Algo: overloaded", UpstreamRateLimited),
    (200, "server_error", "Backend buffer overflow.", UpstreamUnavailable),
    (200, "server_error", "<400> InternalError.Algo.DataInspectionFailed: refused", ContentBlocked),
    (
        200,
        "InvalidParameter",
        "<400> InternalError.Algo.InvalidParameter: The web_extractor tool must be executed.",
        UpstreamRejected,
    ),
    (
        200,
        "InvalidParameter",
        "[400] missing_required_parameter: Missing required parameter: 'model'.",
        UpstreamRejected,
    ),
    (
        200,
        "InvalidParameter",
        "Invalid 'max_output_tokens': must be greater than or equal to 16, got 1.",
        InvalidRequest,
    ),
    (200, "InvalidParameter", "Invalid 'top_p': 9. Expected a value (0,1].", InvalidRequest),
    (200, "InvalidParameter", "Invalid 'reasoning.effort': bogus.", InvalidRequest),
    (200, "InvalidParameter", "Not found previous_response_id: resp_1", InvalidRequest),
    (404, "", "Previous response with id 'resp_1' not found.", InvalidRequest),
    (200, "InvalidParameter", "Mutually exclusive parameters: previous_response_id or conversation",
     UpstreamRejected),
    (200, "", "", UpstreamUnavailable),
    (405, "Method Not Allowed", "Method 'GET' is not allowed.", UpstreamRejected),
    (404, "Not Found", "Not support", UpstreamRejected),
    (413, "", "too big", ImageTooLarge),
    (408, "", "slow", UpstreamTimeout),
    (502, "", "Bad gateway", UpstreamUnavailable),
    (504, "", "Gateway time-out", UpstreamUnavailable),
    (418, "Teapot", "short and stout", UpstreamRejected),
]  # fmt: skip


def flat(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "req-1"}


def nested(code: str, message: str) -> dict[str, Any]:
    error = {"message": message, "type": code, "param": None, "code": code}
    return {"error": error, "request_id": "req-1"}


def failed(code: str, message: str) -> dict[str, Any]:
    return {"object": "response", "status": "failed", "error": {"code": code, "message": message}}


def as_http(status: int, code: str, message: str) -> ServiceError:
    body = json.dumps(flat(code, message)).encode()
    return from_response(status, {"content-type": "application/json"}, body)


def as_nested(status: int, code: str, message: str) -> ServiceError:
    return from_response(status, {}, json.dumps(nested(code, message)).encode())


def as_framed_body(status: int, code: str, message: str) -> ServiceError:
    body = b"data: " + json.dumps(nested(code, message)).encode()
    return from_response(status, {"content-type": "application/json"}, body)


def as_failed_body(_: int, code: str, message: str) -> ServiceError:
    return from_response(200, {}, json.dumps(failed(code, message)).encode())


def as_failed_event(_: int, code: str, message: str) -> ServiceError:
    event = {"type": "response.failed", "response": failed(code, message)}
    return from_failed(json.dumps(event).encode())


def as_frame(status: int, code: str, message: str) -> ServiceError:
    return from_frame(json.dumps(flat(code, message)).encode(), status)


def as_error_event(status: int, code: str, message: str) -> ServiceError:
    return from_frame(json.dumps({"type": "error", **flat(code, message)}).encode(), status)


Envelope = Callable[[int, str, str], ServiceError]
ENVELOPES: list[Envelope] = [
    as_http,
    as_nested,
    as_framed_body,
    as_failed_body,
    as_failed_event,
    as_frame,
    as_error_event,
]


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: envelope.__name__)
@pytest.mark.parametrize(("status", "code", "message", "kind"), ROWS)
def test_a_documented_failure_means_the_same_in_every_envelope(
    status: int, code: str, message: str, kind: Kind, envelope: Envelope
) -> None:
    error = envelope(status, code, message)
    assert type(error) is kind
    assert error.upstream
    assert error.upstream.code == code
    assert message not in error.detail
    assert error.retryable is (kind.retryable or "timed out" in message)


@pytest.mark.parametrize(("status", "code", "message", "kind"), OBSERVED)
def test_a_failure_seen_on_the_wire_is_judged_by_what_it_says(
    status: int, code: str, message: str, kind: Kind
) -> None:
    envelope = as_failed_event if status == 200 else as_http
    assert type(envelope(status, code, message)) is kind


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Range of input length should be [1, 9]", "prompt"),
        ("Range of max_tokens should be [1, 9]", "max_output_tokens"),
        ("Invalid 'max_output_tokens': must be at least 16, got 1.", "max_output_tokens"),
        ("Invalid 'reasoning.effort': bogus.", "reasoning.effort"),
        ("Not found previous_response_id: resp_1", "previous_response_id"),
        ("Previous response with id 'resp_1' not found.", "previous_response_id"),
    ],
)
def test_a_refusal_of_the_callers_own_field_names_it(message: str, field: str) -> None:
    (told,) = as_http(400, "InvalidParameter", message).fields
    assert told == FieldError(field, told.reason)


def test_a_missing_model_is_said_to_be_missing() -> None:
    assert "model is not available" in as_http(404, "ModelNotFound", "").detail


def test_the_report_holds_what_the_upstream_said() -> None:
    body = b'{"request_id":"req-1","code":"Throttling","message":"slow down"}'
    error = from_response(429, {"x-request-id": "other"}, body)
    assert error.upstream == UpstreamReport(429, "Throttling", "slow down", "req-1")


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (b'{"error":{"code":"x","request_id":"inside"}}', "inside"),
        (b'{"error":{"code":"x"}}', "header"),
        (b'{"error":"plain words"}', "header"),
        (b"", "header"),
    ],
)
def test_the_request_id_is_found_where_it_stands(body: bytes, request_id: str) -> None:
    error = from_response(500, {"x-request-id": "header"}, body)
    assert error.upstream
    assert error.upstream.request_id == request_id


def test_a_status_inside_the_message_is_the_one_reported() -> None:
    error = as_failed_event(200, "server_error", " <429> InternalError.Algo: slow down")
    assert error.upstream
    assert error.upstream.status == 429


def test_a_message_is_cut_short_and_bears_neither_image_nor_signature() -> None:
    message = (
        "cannot read data:image/png;base64,iVBORw0KGgo= or\n"
        "https://bucket.example/a.png?Signature=abc " + "x" * 900
    )
    error = as_http(400, "InvalidParameter", message)
    assert error.upstream
    shown = error.upstream.message
    assert shown
    assert shown.startswith("cannot read data:… or https://bucket.example/a.png?… xxx")
    assert len(shown) == MESSAGE_MAX_CHARS


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>\n<body>Bad gateway</body></html>", "<html> <body>Bad gateway</body></html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[1]", "[1]"),
        (b"", None),
        (b'{"code":7,"message":null}', None),
    ],
)
def test_a_body_that_is_no_failure_object_is_judged_by_its_status(
    body: bytes, message: str | None
) -> None:
    error = from_response(502, {}, body)
    assert type(error) is UpstreamUnavailable
    assert error.upstream
    assert error.upstream.message == message


def test_a_deeply_nested_body_is_no_object() -> None:
    assert type(from_response(500, {}, b"[" * 60_000)) is UpstreamUnavailable


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b'{"object":"response","status":"completed","error":null}', b'{"code":"x"}'],
)
def test_a_good_status_without_a_failure_is_a_breach_of_protocol(body: bytes) -> None:
    error = from_response(200, {}, body)
    assert type(error) is UpstreamProtocol
    assert error.upstream
    assert error.upstream.status == 200


def test_a_redirect_is_refused() -> None:
    assert type(from_response(307, {"location": "https://x.example"}, b"")) is UpstreamRejected


def test_a_failed_event_is_kept_as_it_came() -> None:
    assert from_failed(FAILED.data).told_by == tuple(FAILED)
    assert from_response(400, {}, block(FAILED)).told_by == tuple(FAILED)
    assert as_frame(429, "Throttling", "").told_by is None
    assert type(from_failed(b"{")) is UpstreamUnavailable


def test_an_event_that_goes_well_tells_no_failure() -> None:
    assert not tells_failure(CREATED.data)
    assert not tells_failure(b"1")
    assert tells_failure(b'{"code":"Throttling","message":"x"}')


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "99999999999"}, 3_600),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:09 GMT"}, None),
        (
            {
                "retry-after": "Mon, 23 Nov 2026 10:00:09 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            9,
        ),
        (
            {
                "retry-after": "Mon, 23 Nov 2026 09:00:00 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            0,
        ),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(
    headers: dict[str, str], seconds: int | None
) -> None:
    assert from_response(429, headers, b"").retry_after_s == seconds
    assert from_failed(FAILED.data, headers).retry_after_s == seconds
    assert from_frame(b"{}", 429, headers).retry_after_s == seconds
