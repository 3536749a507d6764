"""Every failure that DashScope is known to put in words, as one table.

The codes and messages are the vendor's own, from its error page or from recorded calls: clients
tell failures apart by them, so they are kept to the letter.
"""

from __future__ import annotations

from typing import Final

from simulator.refusal import Refusal

_SIDES: Final = "The image length and width do not meet the model restrictions."
_INSPECTION: Final = "during the data inspection"
_INAPPROPRIATE: Final = "may contain inappropriate content."
_OVERDRAWN: Final = "The account has bills that are overdue."
_ALGO: Final = "<400> InternalError.Algo.InvalidParameter:"
_RATE: Final = "Requests rate limit exceeded, please try again later."
_BURST: Final = (
    "Request rate increased too quickly. To ensure system stability, please adjust your client "
    "logic to scale requests more smoothly over time."
)
_QUOTA: Final = "Allocated quota exceeded, please increase your quota limit."
_CAPACITY: Final = (
    "Too many requests. Your requests are being throttled due to system capacity limits."
)
_STRANGER: Final = "The model xxx does not exist or you do not have access to it."

# slug | HTTP status | code | message
_ROWS: Final[tuple[tuple[str, int, str, str], ...]] = (
    (
        "invalid_url",
        400,
        "InvalidParameter",
        "The provided URL does not appear to be valid. Ensure it is correctly formatted.",
    ),
    (
        "invalid_url_compat",
        400,
        "invalid_parameter_error",
        "The provided URL does not appear to be valid. Ensure it is correctly formatted.",
    ),
    ("input_length", 400, "InvalidParameter", "Range of input length should be [1, 983616]"),
    ("max_tokens", 400, "InvalidParameter", "Range of max_tokens should be [1, 65536]"),
    ("model_not_exist", 400, "InvalidParameter", "Model not exist."),
    (
        "image_sides",
        400,
        "InvalidParameter",
        f"{_SIDES} [height:1 or width:1 must be larger than 10]",
    ),
    (
        "data_uri_bytes",
        400,
        "InvalidParameter",
        "Exceeded limit on max bytes per data-uri item : 10485760",
    ),
    ("file_too_large", 400, "InvalidParameter", "Multimodal file size is too large"),
    ("media_content_type", 400, "InvalidParameter", "Wrong Content-Type of multimodal url"),
    (
        "data_uri_too_large",
        400,
        "BadRequest.TooLarge",
        "Exceeded limit on max bytes per data-uri item : 20971520",
    ),
    (
        "string_too_long",
        400,
        "BadRequest.TooLarge",
        "String value length (28049408) exceeds the maximum allowed (28000000)",
    ),
    (
        "download_failed",
        400,
        "InvalidParameter.DataInspection",
        f"Unable to download the media resource {_INSPECTION} process.",
    ),
    (
        "download_failed_bare",
        400,
        "InvalidParameter",
        f"Unable to download the media resource {_INSPECTION} process.",
    ),
    (
        "download_timeout",
        400,
        "InvalidParameter.DataInspection",
        f"Download the media resource timed out {_INSPECTION} process.",
    ),
    (
        "download_multimodal",
        400,
        "InvalidParameter.DataInspection",
        "Failed to download multimodal content.",
    ),
    (
        "media_not_found",
        400,
        "InvalidParameter.DataInspection",
        f"Failed to find the requested media resource {_INSPECTION} process.",
    ),
    (
        "media_forbidden",
        400,
        "InvalidParameter.DataInspection",
        f"Don't have authorization to access the media resource {_INSPECTION} process.",
    ),
    (
        "image_undecodable",
        400,
        "InvalidParameter.DataInspection",
        f"Failed to decode the image {_INSPECTION}.",
    ),
    (
        "media_format",
        400,
        "InvalidParameter.DataInspection",
        "The media format is not supported or incorrect for the data inspection.",
    ),
    (
        "image_size",
        400,
        "InvalidParameter.DataInspection",
        "The image size is not supported for the data inspection.",
    ),
    ("inspection", 400, "DataInspectionFailed", f"Input or output data {_INAPPROPRIATE}"),
    ("inspection_input", 400, "DataInspectionFailed", f"Input data {_INAPPROPRIATE}"),
    ("inspection_output", 400, "DataInspectionFailed", f"Output data {_INAPPROPRIATE}"),
    ("inspection_text", 400, "DataInspectionFailed", f"Input text data {_INAPPROPRIATE}"),
    ("inspection_compat", 400, "data_inspection_failed", f"Output data {_INAPPROPRIATE}"),
    (
        "arrearage",
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
    ),
    (
        "agent_disabled",
        400,
        "InvalidParameter",
        f"{_ALGO} Agent capabilities are not enabled for the current model.",
    ),
    (
        "thinking_needed",
        400,
        "InvalidParameter",
        "Normal mode does not support Code interpreter. Please set enable_thinking to true.",
    ),
    ("model_unsupported", 400, "InvalidParameter", "Unsupported model: 'qwen3.6-27b'"),
    ("key_invalid", 401, "InvalidApiKey", "Invalid API-key provided."),
    ("key_incorrect", 401, "invalid_api_key", "Incorrect API key provided."),
    ("key_missing", 401, "InvalidApiKey", "No API-key provided."),
    ("workspace", 401, "NOT AUTHORIZED", "Access denied: the workspace is not authorized."),
    ("access_denied", 403, "AccessDenied", "Access denied."),
    ("unpurchased", 403, "AccessDenied.Unpurchased", "Access to model denied."),
    ("model_denied", 403, "Model.AccessDenied", "Model access denied."),
    ("workspace_denied", 403, "Workspace.AccessDenied", "Workspace access denied."),
    ("endpoint_denied", 403, "Endpoint.AccessDenied", "Endpoint access denied."),
    (
        "free_tier",
        403,
        "AllocationQuota.FreeTierOnly",
        "The free tier of the model has been exhausted.",
    ),
    ("model_not_found", 404, "ModelNotFound", _STRANGER),
    ("model_not_found_compat", 404, "model_not_found", _STRANGER),
    (
        "model_incompatible",
        404,
        "ModelNotFound",
        "Unsupported model xxx for OpenAI compatibility mode.",
    ),
    ("method", 405, "Method Not Allowed", "Method 'POST' is not allowed for this path."),
    ("throttling", 429, "Throttling", "Requests throttling triggered."),
    ("rate_quota", 429, "Throttling.RateQuota", _RATE),
    ("limit_requests", 429, "LimitRequests", _RATE),
    ("limit_requests_compat", 429, "limit_requests", "You exceeded your current requests list."),
    ("resource_exhausted", 429, "ResourceExhausted", _RATE),
    ("burst_rate", 429, "Throttling.BurstRate", _BURST),
    ("burst_rate_compat", 429, "limit_burst_rate", _BURST),
    ("allocation_quota", 429, "Throttling.AllocationQuota", _QUOTA),
    (
        "insufficient_quota",
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    ("concurrency", 429, "Throttling.Concurrency", "Too many concurrent requests."),
    ("not_purchased", 429, "CommodityNotPurchased", "Commodity has not purchased yet."),
    ("prepaid_overdue", 429, "PrepaidBillOverdue", _OVERDRAWN),
    ("postpaid_overdue", 429, "PostpaidBillOverdue", _OVERDRAWN),
    ("internal", 500, "InternalError", "An internal error has occured, please try again later."),
    ("internal_compat", 500, "internal_error", "An internal error has occured."),
    ("internal_algo", 500, "InternalError.Algo", "InternalError.Algo: 'agent_api_metadata'"),
    ("event_object", 500, "InternalError.Algo", "1 validation error for Event object"),
    ("system_error", 500, "SystemError", "An system error has occured."),
    ("model_service", 500, "ModelServiceFailed", "Failed to request model service."),
    (
        "content_length",
        500,
        "InternalError.Algo",
        "Missing Content-Length of multimodal url.",
    ),
    ("timeout", 500, "RequestTimeOut", "Request timed out, please try again later."),
    ("unavailable", 503, "ServiceUnavailable", _CAPACITY),
    ("model_unavailable", 503, "ModelUnavailable", _CAPACITY),
)

# What is only known to come inside an HTTP 200: slug | the status it means | message
_INSIDE_200: Final[tuple[tuple[str, int, str, str], ...]] = (
    (
        "throttled_200",
        429,
        "server_error",
        "Operation model request rate limit exceeded, please try again later.",
    ),
    (
        "throttled_tag",
        429,
        "server_error",
        "<429> InternalError.Algo: The request was not served. [Too many requests.]",
    ),
    ("backend_overflow", 500, "server_error", "Backend buffer overflow."),
    (
        "bracket_400",
        400,
        "InvalidParameter",
        "[400] missing_required_parameter: Missing required parameter: 'model'.",
    ),
    (
        "web_extractor",
        400,
        "InvalidParameter",
        f"{_ALGO} The web_extractor tool must be executed with web_search tool.",
    ),
)

REFUSALS: Final[dict[str, Refusal]] = {
    **{row[0]: Refusal(*row) for row in _ROWS},
    **{row[0]: Refusal(*row, form="failed") for row in _INSIDE_200},
}
