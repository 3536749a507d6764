"""What a caller gets in each scenario of the stand-in, written by hand."""

from typing import NamedTuple


class Well(NamedTuple):
    """Answered: HTTP 200, the last event is `search.completed`, the upstream is called once."""

    outcome: str = "matched"
    status: str = "completed"
    warnings: tuple[str, ...] = ()
    skips_s: tuple[float, ...] = ()
    words: str = ""


class Failed(NamedTuple):
    """A real status by POST, `search.failed` by GET, and in both streams once events had come."""

    status: int
    code: str
    retryable: bool
    calls: int = 1  # More when it was tried again.
    relayed: bool = False  # The upstream's `response.failed` stands before the end.
    detail: str = ""
    skips_s: tuple[float, ...] = ()  # How the clock is put forward meanwhile.
    partial: bool = False  # Results had come, and come with the failure.
    words: str = ""


NO, YES = False, True
REFRAMED = (
    *("crlf", "cr", "split_utf8", "one_byte_chunks", "glued_event_name", "no_event_name", "bom"),
    *("done_marker", "comments", "no_final_blank_line", "space_after_colon", "extra_blank_lines"),
    "after_terminal",
)
"""Scenarios whose events differ from `normal` in nothing but how they are framed."""
ODD = """normal two_calls message_call_message no_reasoning reasoning_summary_text sequence_gaps
    sequence_repeats id_equals_sequence drifting_output_index usage_without_x_tools usage_missing
    echo_key multi_data_lines"""

ANSWERED: dict[str, Well] = {
    **{name: Well() for name in (*ODD.split(), *REFRAMED)},
    "no_results": Well("no_match"),
    "no_tool_call": Well("tool_skipped"),
    "invented_url": Well(warnings=("text_mentions_unlisted_url",)),
    "incomplete": Well(status="incomplete"),
    "big_event": Well(words="bytes=300000"),
    "gated": Well(words="tag=open"),
    "slow_headers": Well(words="delay=3", skips_s=(3,)),
    "silence": Well(words="s=60", skips_s=(60,)),
}

AUTH = Failed(502, "upstream_auth_failed", NO)
BUSY = Failed(503, "upstream_rate_limited", YES, calls=3)
DOWN = Failed(502, "upstream_unavailable", YES)
INVALID = Failed(422, "invalid_request", NO)
PROTOCOL = Failed(502, "upstream_protocol", NO)
REJECTED = Failed(502, "upstream_rejected", NO)
CUT = Failed(502, "upstream_interrupted", YES)
LATE = Failed(504, "upstream_timeout", YES, detail="first event", skips_s=(59, 2))

REFUSED: dict[str, Failed] = {
    # before the first event
    **dict.fromkeys(("http_400", "sse_framed_error"), INVALID),
    **dict.fromkeys(("http_401", "http_403", "echo_key_error"), AUTH),
    **dict.fromkeys(("http_404", "http_405", "redirect"), REJECTED),
    **dict.fromkeys(("http_429", "http_503", "nested_error", "retry_after"), BUSY),
    **dict.fromkeys(("http_500", "http_502_html", "http_504_html", "error"), DOWN),
    **dict.fromkeys(("fails_after_billing", "reset_before_headers"), DOWN),
    **dict.fromkeys(("throttled_200", "throttled_tag"), BUSY._replace(relayed=True)),
    **dict.fromkeys(("garbage", "html_200", "json_200", "binary_200"), PROTOCOL),
    **dict.fromkeys(("empty_200", "reset_after_headers"), CUT),
    **dict.fromkeys(("hang", "stall_before_first"), LATE),
    "bracket_400": REJECTED._replace(relayed=True),
    "backend_overflow": DOWN._replace(relayed=True),
    "data_inspection": Failed(422, "content_blocked", NO),
    "arrearage": Failed(502, "upstream_account", NO),
}

BROKEN: dict[str, Failed] = {
    # after events: never tried again
    **dict.fromkeys(("cut_between_events", "cut_inside_event", "cut_inside_utf8"), CUT),
    **dict.fromkeys(("reset_mid_stream", "unterminated_chunked"), CUT),
    **dict.fromkeys(("cut_after_results", "no_terminal"), CUT._replace(partial=True)),
    "partial_180": CUT._replace(detail="time limit"),
    "stall": LATE._replace(detail="idle", skips_s=(179, 2)),
    "failed_mid_stream": DOWN._replace(partial=True, relayed=True),
    "error_frame_mid_stream": BUSY._replace(calls=1),
    "endless": PROTOCOL._replace(partial=True, words="bytes=300000", detail="SEARCH_MAX_BYTES"),
    "event_without_end": PROTOCOL._replace(words="bytes=65536"),
}
