"""Every failure that DashScope is known to report: one table, and the bodies that carry it.

Codes and messages are the vendor's own, from its error page or from recorded calls. Clients tell
failures apart by them, so they are kept to the letter.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

# How a failure is sent: a flat HTTP error, an HTTP 200 with status "failed", an `error` event in
# a stream, OpenAI's nested HTTP error, and the nested error framed as an event.
Form = Literal["http", "failed", "frame", "nested", "sse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One failure. `form` is how it is usually sent."""

    slug: str
    status: int
    code: str
    message: str
    form: Form = "http"

    def flat(self, request_id: str) -> dict[str, Any]:
        """The HTTP error body of the Responses endpoint."""
        return {"code": self.code, "message": self.message, "request_id": request_id}

    def nested(self, request_id: str) -> dict[str, Any]:
        """The HTTP error body of the chat-compatible endpoints, shaped like OpenAI's."""
        fields = {"message": self.message, "type": self.code, "param": None, "code": self.code}
        return {"error": fields, "request_id": request_id}

    def failed_response(self, response_id: str, created_at: int) -> dict[str, Any]:
        """A response object with status "failed", as it comes with HTTP 200."""
        return {
            "created_at": created_at,
            "error": {"code": self.code, "message": self.message},
            "id": response_id,
            "model": "",
            "object": "response",
            "output": [],
            "parallel_tool_calls": False,
            "status": "failed",
            "tool_choice": "auto",
            "tools": [],
        }


class Refused(Exception):
    """The call ends with this failure."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str) -> Refused:
    """The exception for a refused parameter, with the vendor's usual code."""
    return Refused(Refusal("invalid", 400, "InvalidParameter", message))


def compact(value: object) -> str:
    """JSON as the vendor writes it: no spaces, and no escapes for non-ASCII text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# slug | HTTP status | code | message
_HTTP_ERRORS: Final = """
invalid_url | 400 | InvalidParameter | The provided URL does not appear to be valid. Ensure it is correctly formatted.
invalid_url_compat | 400 | invalid_parameter_error | The provided URL does not appear to be valid. Ensure it is correctly formatted.
input_length | 400 | InvalidParameter | Range of input length should be [1, 983616]
max_tokens | 400 | InvalidParameter | Range of max_tokens should be [1, 65536]
model_not_exist | 400 | InvalidParameter | Model not exist.
image_sides | 400 | InvalidParameter | The image length and width do not meet the model restrictions. [height:1 or width:1 must be larger than 10]
data_uri_bytes | 400 | InvalidParameter | Exceeded limit on max bytes per data-uri item : 10485760
file_too_large | 400 | InvalidParameter | Multimodal file size is too large
media_content_type | 400 | InvalidParameter | Wrong Content-Type of multimodal url
data_uri_too_large | 400 | BadRequest.TooLarge | Exceeded limit on max bytes per data-uri item : 20971520
string_too_long | 400 | BadRequest.TooLarge | String value length (28049408) exceeds the maximum allowed (28000000)
download_failed | 400 | InvalidParameter.DataInspection | Unable to download the media resource during the data inspection process.
download_failed_bare | 400 | InvalidParameter | Unable to download the media resource during the data inspection process.
download_timeout | 400 | InvalidParameter.DataInspection | Download the media resource timed out during the data inspection process.
download_multimodal | 400 | InvalidParameter.DataInspection | Failed to download multimodal content.
media_not_found | 400 | InvalidParameter.DataInspection | Failed to find the requested media resource during the data inspection process.
media_forbidden | 400 | InvalidParameter.DataInspection | Don't have authorization to access the media resource during the data inspection process.
image_undecodable | 400 | InvalidParameter.DataInspection | Failed to decode the image during the data inspection.
media_format | 400 | InvalidParameter.DataInspection | The media format is not supported or incorrect for the data inspection.
image_size | 400 | InvalidParameter.DataInspection | The image size is not supported for the data inspection.
inspection | 400 | DataInspectionFailed | Input or output data may contain inappropriate content.
inspection_input | 400 | DataInspectionFailed | Input data may contain inappropriate content.
inspection_output | 400 | DataInspectionFailed | Output data may contain inappropriate content.
inspection_text | 400 | DataInspectionFailed | Input text data may contain inappropriate content.
inspection_compat | 400 | data_inspection_failed | Output data may contain inappropriate content.
arrearage | 400 | Arrearage | Access denied, please make sure your account is in good standing.
agent_disabled | 400 | InvalidParameter | <400> InternalError.Algo.InvalidParameter: Agent capabilities are not enabled for the current model.
thinking_needed | 400 | InvalidParameter | Normal mode does not support Code interpreter. Please set enable_thinking to true.
model_unsupported | 400 | InvalidParameter | Unsupported model: 'qwen3.6-27b'
key_invalid | 401 | InvalidApiKey | Invalid API-key provided.
key_incorrect | 401 | invalid_api_key | Incorrect API key provided.
key_missing | 401 | InvalidApiKey | No API-key provided.
workspace | 401 | NOT AUTHORIZED | Access denied: the workspace is not authorized.
access_denied | 403 | AccessDenied | Access denied.
unpurchased | 403 | AccessDenied.Unpurchased | Access to model denied.
model_denied | 403 | Model.AccessDenied | Model access denied.
workspace_denied | 403 | Workspace.AccessDenied | Workspace access denied.
endpoint_denied | 403 | Endpoint.AccessDenied | Endpoint access denied.
free_tier | 403 | AllocationQuota.FreeTierOnly | The free tier of the model has been exhausted.
model_not_found | 404 | ModelNotFound | The model xxx does not exist or you do not have access to it.
model_not_found_compat | 404 | model_not_found | The model xxx does not exist or you do not have access to it.
model_incompatible | 404 | ModelNotFound | Unsupported model xxx for OpenAI compatibility mode.
method | 405 | Method Not Allowed | Method 'POST' is not allowed for this path.
throttling | 429 | Throttling | Requests throttling triggered.
rate_quota | 429 | Throttling.RateQuota | Requests rate limit exceeded, please try again later.
limit_requests | 429 | LimitRequests | Requests rate limit exceeded, please try again later.
limit_requests_compat | 429 | limit_requests | You exceeded your current requests list.
resource_exhausted | 429 | ResourceExhausted | Requests rate limit exceeded, please try again later.
burst_rate | 429 | Throttling.BurstRate | Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale requests more smoothly over time.
burst_rate_compat | 429 | limit_burst_rate | Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale requests more smoothly over time.
allocation_quota | 429 | Throttling.AllocationQuota | Allocated quota exceeded, please increase your quota limit.
insufficient_quota | 429 | insufficient_quota | You exceeded your current quota, please check your plan and billing details.
concurrency | 429 | Throttling.Concurrency | Too many concurrent requests.
not_purchased | 429 | CommodityNotPurchased | Commodity has not purchased yet.
prepaid_overdue | 429 | PrepaidBillOverdue | The account has bills that are overdue.
postpaid_overdue | 429 | PostpaidBillOverdue | The account has bills that are overdue.
internal | 500 | InternalError | An internal error has occured, please try again later.
internal_compat | 500 | internal_error | An internal error has occured.
internal_algo | 500 | InternalError.Algo | InternalError.Algo: 'agent_api_metadata'
event_object | 500 | InternalError.Algo | 1 validation error for Event object
system_error | 500 | SystemError | An system error has occured.
model_service | 500 | ModelServiceFailed | Failed to request model service.
content_length | 500 | InternalError.Algo | Missing Content-Length of multimodal url.
timeout | 500 | RequestTimeOut | Request timed out, please try again later.
unavailable | 503 | ServiceUnavailable | Too many requests. Your requests are being throttled due to system capacity limits.
model_unavailable | 503 | ModelUnavailable | Too many requests. Your requests are being throttled due to system capacity limits.
"""  # noqa: E501

# Only known to come with HTTP 200; the status is the one that they mean.
_INSIDE_HTTP_200: Final = """
throttled_200 | 429 | server_error | Operation model request rate limit exceeded, please try again later.
throttled_tag | 429 | server_error | <429> InternalError.Algo: The request was not served. [Too many requests.]
backend_overflow | 500 | server_error | Backend buffer overflow.
bracket_400 | 400 | InvalidParameter | [400] missing_required_parameter: Missing required parameter: 'model'.
web_extractor | 400 | InvalidParameter | <400> InternalError.Algo.InvalidParameter: The web_extractor tool must be executed with web_search tool.
"""


def _read(table: str, form: Form) -> dict[str, Refusal]:
    rows = [line.split(" | ") for line in table.strip().splitlines()]
    return {
        slug: Refusal(slug, int(status), code, message, form)
        for slug, status, code, message in rows
    }


REFUSALS: Final = _read(_HTTP_ERRORS, "http") | _read(_INSIDE_HTTP_200, "failed")
