"""What a caller gets in each scenario of the stand-in, written by hand. One line a scenario."""

from typing import NamedTuple


class Well(NamedTuple):
    """Answered: HTTP 200, the last event is `search.completed`, the upstream is called once."""

    outcome: str = "matched"
    status: str = "completed"
    warnings: tuple[str, ...] = ()
    skips_s: tuple[float, ...] = ()
    words: str = ""


class Refused(NamedTuple):
    """Failed before the first event: a real status by POST, `search.failed` by GET.

    `calls`: more than one when it was tried again. `relayed`: the upstream's `response.failed`
    stands in the GET stream before the end. `skips_s`: how the clock is put forward meanwhile.
    """

    status: int
    code: str
    retryable: bool
    calls: int = 1
    relayed: bool = False
    detail: str = ""
    skips_s: tuple[float, ...] = ()


class Broken(NamedTuple):
    """Failed after events: a real status by `POST /search`, `search.failed` in both streams.

    It is never tried again. `partial`: results had come, and come with the failure.
    """

    status: int
    code: str
    retryable: bool
    partial: bool = False
    relayed: bool = False
    detail: str = ""
    skips_s: tuple[float, ...] = ()
    words: str = ""


NO, YES = False, True

ANSWERED: dict[str, Well] = {
    "normal": Well(),
    "no_results": Well("no_match"),
    "no_tool_call": Well("tool_skipped"),
    "two_calls": Well(),
    "message_call_message": Well(),
    "no_reasoning": Well(),
    "reasoning_summary_text": Well(),
    "sequence_gaps": Well(),
    "sequence_repeats": Well(),
    "id_equals_sequence": Well(),
    "drifting_output_index": Well(),
    "usage_without_x_tools": Well(),
    "usage_missing": Well(),
    "invented_url": Well(warnings=("text_mentions_unlisted_url",)),
    "incomplete": Well(status="incomplete"),
    "echo_key": Well(),
    "gated": Well(words="tag=open"),
    "crlf": Well(),
    "cr": Well(),
    "split_utf8": Well(),
    "one_byte_chunks": Well(),
    "big_event": Well(),
    "glued_event_name": Well(),
    "no_event_name": Well(),
    "multi_data_lines": Well(),
    "bom": Well(),
    "done_marker": Well(),
    "comments": Well(),
    "no_final_blank_line": Well(),
    "space_after_colon": Well(),
    "extra_blank_lines": Well(),
    "after_terminal": Well(),
    "slow_headers": Well(words="delay=3", skips_s=(3,)),
    "silence": Well(words="s=60", skips_s=(60,)),
}

REFUSED: dict[str, Refused] = {
    "http_400": Refused(422, "invalid_request", NO),
    "http_401": Refused(502, "upstream_auth_failed", NO),
    "http_403": Refused(502, "upstream_auth_failed", NO),
    "http_404": Refused(502, "upstream_rejected", NO),
    "http_405": Refused(502, "upstream_rejected", NO),
    "http_429": Refused(503, "upstream_rate_limited", YES, calls=3),
    "http_500": Refused(502, "upstream_unavailable", YES),
    "http_503": Refused(503, "upstream_rate_limited", YES, calls=3),
    "http_502_html": Refused(502, "upstream_unavailable", YES),
    "http_504_html": Refused(502, "upstream_unavailable", YES),
    "nested_error": Refused(503, "upstream_rate_limited", YES, calls=3),
    "sse_framed_error": Refused(422, "invalid_request", NO),
    "retry_after": Refused(503, "upstream_rate_limited", YES, calls=3),
    "redirect": Refused(502, "upstream_rejected", NO),
    "error": Refused(502, "upstream_unavailable", YES),
    "echo_key_error": Refused(502, "upstream_auth_failed", NO),
    "throttled_200": Refused(503, "upstream_rate_limited", YES, calls=3, relayed=True),
    "throttled_tag": Refused(503, "upstream_rate_limited", YES, calls=3, relayed=True),
    "bracket_400": Refused(502, "upstream_rejected", NO, relayed=True),
    "backend_overflow": Refused(502, "upstream_unavailable", YES, relayed=True),
    "data_inspection": Refused(422, "content_blocked", NO),
    "arrearage": Refused(502, "upstream_account", NO),
    "fails_after_billing": Refused(502, "upstream_unavailable", YES),
    "garbage": Refused(502, "upstream_protocol", NO),
    "html_200": Refused(502, "upstream_protocol", NO),
    "json_200": Refused(502, "upstream_protocol", NO),
    "binary_200": Refused(502, "upstream_protocol", NO),
    "empty_200": Refused(502, "upstream_interrupted", YES),
    "reset_before_headers": Refused(502, "upstream_unavailable", YES),
    "reset_after_headers": Refused(502, "upstream_interrupted", YES),
    "hang": Refused(504, "upstream_timeout", YES, detail="first event", skips_s=(59, 2)),
    "stall_before_first": Refused(
        504, "upstream_timeout", YES, detail="first event", skips_s=(59, 2)
    ),
}

BROKEN: dict[str, Broken] = {
    "stall": Broken(504, "upstream_timeout", YES, detail="idle", skips_s=(179, 2)),
    "failed_mid_stream": Broken(502, "upstream_unavailable", YES, partial=True, relayed=True),
    "error_frame_mid_stream": Broken(503, "upstream_rate_limited", YES),
    "cut_between_events": Broken(502, "upstream_interrupted", YES),
    "cut_inside_event": Broken(502, "upstream_interrupted", YES),
    "cut_inside_utf8": Broken(502, "upstream_interrupted", YES),
    "cut_after_results": Broken(502, "upstream_interrupted", YES, partial=True),
    "reset_mid_stream": Broken(502, "upstream_interrupted", YES),
    "unterminated_chunked": Broken(502, "upstream_interrupted", YES),
    "partial_180": Broken(502, "upstream_interrupted", YES, detail="time limit"),
    "no_terminal": Broken(502, "upstream_interrupted", YES, partial=True),
    "endless": Broken(502, "upstream_protocol", NO, partial=True, words="bytes=500000"),
    "event_without_end": Broken(502, "upstream_protocol", NO, words="bytes=65536"),
}

REFRAMED = (
    "crlf",
    "cr",
    "split_utf8",
    "one_byte_chunks",
    "glued_event_name",
    "no_event_name",
    "bom",
    "done_marker",
    "comments",
    "no_final_blank_line",
    "space_after_colon",
    "extra_blank_lines",
    "after_terminal",
)
"""Scenarios whose events differ from `normal` in nothing but how they are framed."""
