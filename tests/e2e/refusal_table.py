"""What each of the upstream's refusals means for a caller, written by hand. One line a refusal."""

from typing import NamedTuple


class Means(NamedTuple):
    """`tries`: calls made when it comes before the first event. `field`: which one it blames."""

    status: int
    code: str
    retryable: bool = False
    tries: int = 1
    field: str | None = None


BLOCKED = Means(422, "content_blocked")
BUSY = Means(503, "upstream_rate_limited", retryable=True, tries=3)
DOWN = Means(502, "upstream_unavailable", retryable=True)
NO_ACCOUNT = Means(502, "upstream_account")
NO_ACCESS = Means(502, "upstream_auth_failed")
REJECTED = Means(502, "upstream_rejected")
TOO_LARGE = Means(413, "image_too_large")
UNFETCHABLE = Means(422, "image_unfetchable")

MEANINGS: dict[str, Means] = {
    # The caller's image.
    "invalid_url": UNFETCHABLE,
    "invalid_url_compat": UNFETCHABLE,
    "image_sides": Means(422, "image_dimensions"),
    "data_uri_bytes": TOO_LARGE,
    "file_too_large": TOO_LARGE,
    "media_content_type": UNFETCHABLE,
    "data_uri_too_large": TOO_LARGE,
    "string_too_long": TOO_LARGE,
    "download_failed": UNFETCHABLE,
    "download_failed_bare": UNFETCHABLE,
    "download_timeout": Means(422, "image_unfetchable", retryable=True),
    "download_multimodal": UNFETCHABLE,
    "media_not_found": UNFETCHABLE,
    "media_forbidden": UNFETCHABLE,
    "image_undecodable": UNFETCHABLE,
    "media_format": UNFETCHABLE,
    "image_size": UNFETCHABLE,
    "content_length": UNFETCHABLE,
    # The caller's other fields, and what is in them.
    "input_length": Means(422, "invalid_request", field="prompt"),
    "max_tokens": Means(422, "invalid_request", field="max_output_tokens"),
    "inspection": BLOCKED,
    "inspection_input": BLOCKED,
    "inspection_output": BLOCKED,
    "inspection_text": BLOCKED,
    "inspection_compat": BLOCKED,
    # What this service asked for.
    "model_not_exist": REJECTED,
    "agent_disabled": REJECTED,
    "thinking_needed": REJECTED,
    "model_unsupported": REJECTED,
    "model_not_found": REJECTED,
    "model_not_found_compat": REJECTED,
    "model_incompatible": REJECTED,
    "method": REJECTED,
    "bracket_400": REJECTED,
    "web_extractor": REJECTED,
    # The key and the account: never the caller's 401, 403 or 402.
    "key_invalid": NO_ACCESS,
    "key_incorrect": NO_ACCESS,
    "key_missing": NO_ACCESS,
    "workspace": NO_ACCESS,
    "access_denied": NO_ACCESS,
    "model_denied": NO_ACCESS,
    "workspace_denied": NO_ACCESS,
    "endpoint_denied": NO_ACCESS,
    "arrearage": NO_ACCOUNT,
    "unpurchased": NO_ACCOUNT,
    "free_tier": NO_ACCOUNT,
    "not_purchased": NO_ACCOUNT,
    "prepaid_overdue": NO_ACCOUNT,
    "postpaid_overdue": NO_ACCOUNT,
    # Throttling: not served, so tried again.
    "throttling": BUSY,
    "rate_quota": BUSY,
    "limit_requests": BUSY,
    "limit_requests_compat": BUSY,
    "resource_exhausted": BUSY,
    "burst_rate": BUSY,
    "burst_rate_compat": BUSY,
    "allocation_quota": BUSY,
    "insufficient_quota": BUSY,
    "concurrency": BUSY,
    "unavailable": BUSY,
    "model_unavailable": BUSY,
    "throttled_200": BUSY,
    "throttled_tag": BUSY,
    # Failures that may have been billed: the caller may try again, we do not.
    "internal": DOWN,
    "internal_compat": DOWN,
    "internal_algo": DOWN,
    "event_object": DOWN,
    "system_error": DOWN,
    "model_service": DOWN,
    "backend_overflow": DOWN,
    "timeout": Means(504, "upstream_timeout", retryable=True),
}
