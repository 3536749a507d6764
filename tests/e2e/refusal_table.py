"""What each of the upstream's refusals means for a caller, written by hand."""

from typing import NamedTuple


class Means(NamedTuple):
    """`tries`: calls made when it comes before the first event. `field`: which one it blames."""

    status: int
    code: str
    retryable: bool = False
    tries: int = 1
    field: str | None = None


GROUPS: dict[Means, str] = {
    # The caller's image.
    Means(422, "image_unfetchable"): """
        invalid_url invalid_url_compat media_content_type download_failed download_failed_bare
        download_multimodal media_not_found media_forbidden image_undecodable media_format
        image_size content_length""",
    Means(422, "image_unfetchable", retryable=True): "download_timeout",
    Means(422, "image_dimensions"): "image_sides",
    Means(413, "image_too_large"): """
        data_uri_bytes file_too_large data_uri_too_large string_too_long""",
    # The caller's other fields, and what is in them.
    Means(422, "invalid_request", field="prompt"): "input_length",
    Means(422, "invalid_request", field="max_output_tokens"): "max_tokens",
    Means(422, "invalid_request", field="reasoning.effort"): "effort",
    Means(422, "invalid_request", field="previous_response_id"): "earlier_response",
    Means(422, "content_blocked"): """
        inspection inspection_input inspection_output inspection_text inspection_compat""",
    # What this service asked for.
    Means(502, "upstream_rejected"): """
        model_not_exist agent_disabled thinking_needed model_unsupported model_not_found
        model_not_found_compat model_incompatible method bracket_400 web_extractor""",
    # The key and the account: never the caller's 401, 403 or 402.
    Means(502, "upstream_auth_failed"): """
        key_invalid key_incorrect key_missing workspace access_denied model_denied
        workspace_denied endpoint_denied""",
    Means(502, "upstream_account"): """
        arrearage unpurchased free_tier not_purchased prepaid_overdue postpaid_overdue""",
    # Throttling: not served, so tried again.
    Means(503, "upstream_rate_limited", retryable=True, tries=3): """
        throttling rate_quota limit_requests limit_requests_compat resource_exhausted burst_rate
        burst_rate_compat allocation_quota insufficient_quota concurrency unavailable
        model_unavailable throttled_200 throttled_tag""",
    # Failures that may have been billed: the caller may try again, we do not.
    Means(502, "upstream_unavailable", retryable=True): """
        internal internal_compat internal_algo event_object system_error model_service
        backend_overflow""",
    Means(504, "upstream_timeout", retryable=True): "timeout",
}
MEANINGS = {row: means for means, rows in GROUPS.items() for row in rows.split()}
