"""All scenarios: a name, one line on what it does, and what it changes in the plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from simulator.plan import BadParameter, Parameters, Plan
from simulator.refusals import REFUSALS, Form, Refusal


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that an upstream may do. `changes` gives the new fields of the plan."""

    description: str
    changes: Callable[[Plan, Parameters], dict[str, Any]]

    def apply(self, plan: Plan, given: Parameters) -> Plan:
        """The plan with this scenario's changes.

        Raises:
            BadParameter: a parameter is out of its bounds.
        """
        return replace(plan, **self.changes(plan, given))


def _scenario(description: str, **changes: Any) -> Scenario:
    return Scenario(description, lambda _plan, _given: changes)


def _number(description: str, field: str, parameter: str, default: float) -> Scenario:
    """A scenario that takes a field of the plan from a parameter."""
    return Scenario(
        description, lambda _, given: {field: type(default)(given.number(parameter, default))}
    )


def _error(description: str, slug: str, form: Form | None = None, **more: Any) -> Scenario:
    refusal = REFUSALS[slug]
    return _scenario(description, refusal=refusal, form=form or refusal.form, **more)


def _reply(description: str, status: int, kind: str, body: bytes, **more: Any) -> Scenario:
    return _scenario(description, fixed=(status, kind, body), **more)


def _page(description: str, status: int, title: str) -> Scenario:
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return _reply(description, status, "text/html", text.encode())


def _chosen_error(_: Plan, given: Parameters) -> dict[str, Any]:
    slug = given.get("row", "internal")
    if slug not in REFUSALS:
        raise BadParameter(f"No row is named '{slug}'. There are: {', '.join(REFUSALS)}.")
    form = given.get("as", REFUSALS[slug].form)
    if form not in get_args(Form):
        raise BadParameter(f"'as' must be one of: {', '.join(get_args(Form))}.")
    changes: dict[str, Any] = {"refusal": REFUSALS[slug], "form": form}
    return changes | ({"ending": "error_event"} if form == "frame" else {})


def _nested_error(_: Plan, given: Parameters) -> dict[str, Any]:
    status = given.whole("status", 429)
    if status < 400:  # noqa: PLR2004 - the first error status of HTTP
        raise BadParameter("'status' must be from 400 to 599.")
    refusal = Refusal("nested", status, given.get("code", "insufficient_quota"), "Not now.")
    return {"refusal": refusal, "form": "nested"}


def _retry_after(_: Plan, given: Parameters) -> dict[str, Any]:
    headers = (("retry-after", str(given.whole("s", 1))),)
    return {"refusal": REFUSALS["rate_quota"], "headers": headers}


def _echo_key_error(plan: Plan, _: Parameters) -> dict[str, Any]:
    message = f"Incorrect API key provided: {plan.key}. Find your key in the console."
    return {"refusal": Refusal("echo", 400, "InvalidParameter", message)}


_EVENTS: Final = "text/event-stream;charset=UTF-8"
_BINARY: Final = "application/octet-stream"
_ELSEWHERE: Final = (("location", "http://127.0.0.1:9/elsewhere"),)
_PARTIAL: Final = (("x-dashscope-partialresponse", "true"),)

SCENARIOS: Final[Mapping[str, Scenario]] = {
    # What the answer consists of.
    "normal": _scenario("the search finds pictures, the answer names them"),
    "no_results": _scenario("the search finds nothing", found=False),
    "no_tool_call": _scenario("the model answers without searching", calls=0),
    "two_calls": _scenario("two searches, of the first two images or of one twice", calls=2),
    "message_call_message": _scenario("a message before the search too", opening_message=True),
    "no_reasoning": _scenario("no reasoning items", reasoning=False),
    "reasoning_summary_text": _scenario(
        "older delta names", reasoning_name="reasoning_summary_text"
    ),
    "sequence_gaps": _scenario("sequence numbers with gaps", numbering="gaps"),
    "sequence_repeats": _scenario("some sequence numbers come twice", numbering="repeats"),
    "id_equals_sequence": _scenario("ids are sequence numbers", numbering="id_is_sequence"),
    "drifting_output_index": _scenario("an item ends under another index", index_drifts=True),
    "usage_without_x_tools": _scenario("usage does not count tools", usage="no_x_tools"),
    "usage_missing": _scenario("no usage at all", usage="missing"),
    "invented_url": _scenario("the text names a URL that no search found", invented_url=True),
    "incomplete": _scenario("the answer stops half way, status incomplete", cut_short=True),
    "echo_key": _scenario("the API key is in the answer's text", echoes_key=True),
    "echo_key_error": Scenario("HTTP 400 with the API key in its message", _echo_key_error),
    # How its events are sent.
    "gated": Scenario(
        "event 3 waits until the gate `tag` is opened",
        lambda _, given: {"gate": given.get("tag", "default")},
    ),
    "crlf": _scenario("lines end in CRLF", newline="\r\n"),
    "cr": _scenario("lines end in CR", newline="\r"),
    "split_utf8": _scenario("chunks end inside characters", chunks="inside_characters"),
    "one_byte_chunks": _scenario("one byte a chunk", chunks="byte"),
    "big_event": _number("one event of `bytes` bytes", "big_event_bytes", "bytes", 3_000_000),
    "glued_event_name": _scenario("no line end before the status comment", event_name="glued"),
    "no_event_name": _scenario("no event lines", event_name="none"),
    "multi_data_lines": _scenario("each JSON over three data lines", three_data_lines=True),
    "bom": _scenario("the body starts with a byte order mark", byte_order_mark=True),
    "done_marker": _scenario("data:[DONE] at the end", done_marker=True),
    "comments": _scenario("comment lines and blocks everywhere", comments=True),
    "no_final_blank_line": _scenario("no blank line after the last event", final_blank_line=False),
    "space_after_colon": _scenario("a space after each field's colon", colon=": "),
    "extra_blank_lines": _scenario("two more blank lines after each event", extra_blank_lines=True),
    "after_terminal": _scenario("more events after the terminal one", after_terminal=True),
    # Slow and silent.
    "slow_headers": _number("headers come after `delay` seconds", "headers_delay_s", "delay", 3.0),
    "stall_before_first": _scenario("headers, then nothing", stop="headers", ending="stall"),
    "stall": _scenario("`after` events, then nothing", ending="stall"),
    "silence": _number("the search takes `s` seconds", "silence_s", "s", 10.0),
    "hang": _scenario("the request is never answered", stop="start", ending="stall"),
    # Errors in place of an answer.
    "http_400": _error("HTTP 400, flat body", "input_length"),
    "http_401": _error("HTTP 401, flat body", "key_invalid"),
    "http_403": _error("HTTP 403, flat body", "model_denied"),
    "http_404": _error("HTTP 404, flat body", "model_not_found"),
    "http_405": _error("HTTP 405, flat body", "method"),
    "http_429": _error("HTTP 429, flat body", "rate_quota"),
    "http_500": _error("HTTP 500, flat body", "internal"),
    "http_503": _error("HTTP 503, flat body", "unavailable"),
    "http_502_html": _page("a gateway's page", 502, "502 Bad Gateway"),
    "http_504_html": _page("a gateway's page", 504, "504 Gateway Time-out"),
    "nested_error": Scenario("an OpenAI-shaped error of `status` and `code`", _nested_error),
    "sse_framed_error": _error("HTTP 400 framed as data, typed as JSON", "input_length", "sse"),
    "retry_after": Scenario("HTTP 429 with Retry-After: `s`", _retry_after),
    "redirect": _reply("HTTP 307 to elsewhere", 307, "text/plain", b"", headers=_ELSEWHERE),
    "error": Scenario("the error `row` of the table, sent `as` a form", _chosen_error),
    "throttled_200": _error("throttled inside an HTTP 200", "throttled_200"),
    "throttled_tag": _error("throttled, the status in angle brackets", "throttled_tag"),
    "bracket_400": _error("refused, the status in square brackets", "bracket_400"),
    "backend_overflow": _error("a transient failure inside an HTTP 200", "backend_overflow"),
    "data_inspection": _error("the content inspection refuses", "inspection"),
    "arrearage": _error("the account is in arrears", "arrearage"),
    "fails_after_billing": _error("HTTP 500, but billed", "internal", billed=True),
    # Breaks in the middle of an answer.
    "failed_mid_stream": _error(
        "response.failed after the results",
        "backend_overflow",
        stop="results",
        ending="failed_event",
    ),
    "error_frame_mid_stream": _error(
        "an error event after `after` events", "allocation_quota", ending="error_event"
    ),
    "cut_between_events": _scenario("EOF after `after` events", ending="eof"),
    "cut_inside_event": _scenario("EOF inside an event", stop="event", ending="eof"),
    "cut_inside_utf8": _scenario("EOF inside a character", stop="character", ending="eof"),
    "cut_after_results": _scenario("EOF after the results", stop="results", ending="eof"),
    "reset_before_headers": _scenario("TCP RST before headers", stop="start", ending="reset"),
    "reset_after_headers": _scenario("TCP RST after headers", stop="headers", ending="reset"),
    "reset_mid_stream": _scenario("TCP RST after `after` events", ending="reset"),
    "unterminated_chunked": _scenario("closed without the last chunk", ending="close"),
    "empty_200": _scenario("an event stream without a byte", stop="headers", ending="eof"),
    "partial_180": _scenario(
        "cut by the time limit, with its header", ending="eof", headers=_PARTIAL
    ),
    "no_terminal": _scenario("all but the last event", stop="terminal", ending="eof"),
    "endless": _scenario("deltas without end", stop="delta", ending="deltas"),
    "event_without_end": _scenario("a data line without end", ending="line"),
    # Replies that are no answer.
    "garbage": _reply("no events in an event stream", 200, _EVENTS, b"\x00\xff{]\n" * 64),
    "html_200": _page("a page with HTTP 200", 200, "Sign in"),
    "json_200": _scenario("one JSON body, though a stream was asked for", always_json=True),
    "binary_200": _reply("bytes with HTTP 200", 200, _BINARY, bytes(range(256)) * 8),
}
