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
    """A real status by POST, `search.failed` by GET, and in both streams once events had come.

    `calls`: more than one when it was tried again. `relayed`: the upstream's `response.failed`
    stands in the stream before the end. `skips_s`: how the clock is put forward meanwhile.
    `partial`: results had come, and come with the failure.
    """

    status: int
    code: str
    retryable: bool
    calls: int = 1
    relayed: bool = False
    detail: str = ""
    skips_s: tuple[float, ...] = ()
    partial: bool = False
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
    echo_key big_event multi_data_lines"""

ANSWERED: dict[str, Well] = {
    **{name: Well() for name in (*ODD.split(), *REFRAMED)},
    "no_results": Well("no_match"),
    "no_tool_call": Well("tool_skipped"),
    "invented_url": Well(warnings=("text_mentions_unlisted_url",)),
    "incomplete": Well(status="incomplete"),
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
    "http_400": INVALID,
    "http_401": AUTH,
    "http_403": AUTH,
    "http_404": REJECTED,
    "http_405": REJECTED,
    "http_429": BUSY,
    "http_500": DOWN,
    "http_503": BUSY,
    "http_502_html": DOWN,
    "http_504_html": DOWN,
    "nested_error": BUSY,
    "sse_framed_error": INVALID,
    "retry_after": BUSY,
    "redirect": REJECTED,
    "error": DOWN,
    "echo_key_error": AUTH,
    "throttled_200": BUSY._replace(relayed=True),
    "throttled_tag": BUSY._replace(relayed=True),
    "bracket_400": REJECTED._replace(relayed=True),
    "backend_overflow": DOWN._replace(relayed=True),
    "data_inspection": Failed(422, "content_blocked", NO),
    "arrearage": Failed(502, "upstream_account", NO),
    "fails_after_billing": DOWN,
    "garbage": PROTOCOL,
    "html_200": PROTOCOL,
    "json_200": PROTOCOL,
    "binary_200": PROTOCOL,
    "empty_200": CUT,
    "reset_before_headers": DOWN,
    "reset_after_headers": CUT,
    "hang": LATE,
    "stall_before_first": LATE,
}

BROKEN: dict[str, Failed] = {
    # after events: never tried again
    "stall": LATE._replace(detail="idle", skips_s=(179, 2)),
    "failed_mid_stream": DOWN._replace(partial=True, relayed=True),
    "error_frame_mid_stream": BUSY._replace(calls=1),
    "cut_between_events": CUT,
    "cut_inside_event": CUT,
    "cut_inside_utf8": CUT,
    "cut_after_results": CUT._replace(partial=True),
    "reset_mid_stream": CUT,
    "unterminated_chunked": CUT,
    "partial_180": CUT._replace(detail="time limit"),
    "no_terminal": CUT._replace(partial=True),
    "endless": PROTOCOL._replace(partial=True, words="bytes=500000"),
    "event_without_end": PROTOCOL._replace(words="bytes=65536"),
}
