"""All scenarios: each a name, one line of what it does, and a change to the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from simulator.parameters import BadParameter, Parameters
from simulator.plan import Break, Canned, Headers, How, Plan, Refuse, Where
from simulator.refusal import Form, Refusal
from simulator.refusals import REFUSALS

Change = Callable[[Plan, Parameters], Plan]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that an upstream may do."""

    name: str
    description: str
    change: Change


def _shape(**fields: Any) -> Change:
    return lambda plan, _: replace(plan, shape=replace(plan.shape, **fields))


def _framing(**fields: Any) -> Change:
    return lambda plan, _: replace(plan, framing=replace(plan.framing, **fields))


def _breaks(where: Where, how: How, *, row: str | None = None, headers: Headers = ()) -> Change:
    def change(plan: Plan, given: Parameters) -> Plan:
        broken = Break(
            where=where,
            how=how,
            after=given.whole("after", 5),
            size_bytes=max(1, given.whole("bytes", 1024)),
            refusal=REFUSALS[row] if row else None,
        )
        return replace(plan, breaks=broken, headers=plan.headers + headers)

    return change


def _refuses(row: str, form: Form | None = None, **fields: Any) -> Change:
    refusal = REFUSALS[row]
    refuse = Refuse(refusal=refusal, form=form or refusal.form, **fields)
    return lambda plan, _: replace(plan, instead=refuse)


def _canned(status: int, content_type: str, body: bytes, headers: Headers = ()) -> Change:
    reply = Canned(status=status, content_type=content_type, body=body, headers=headers)
    return lambda plan, _: replace(plan, instead=reply)


def _page(title: str) -> bytes:
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return text.encode()


def _error(plan: Plan, given: Parameters) -> Plan:
    row = given.text("row", "internal")
    if row not in REFUSALS:
        raise BadParameter(f"No row is named '{row}'. There are: {', '.join(REFUSALS)}.")
    refusal = REFUSALS[row]
    form = given.text("as", refusal.form)
    if form not in get_args(Form):
        raise BadParameter(f"'as' must be one of: {', '.join(get_args(Form))}.")
    if form == "frame":
        broken = Break(
            where=Where.AFTER, how=How.FRAME, after=given.whole("after", 5), refusal=refusal
        )
        return replace(plan, breaks=broken)
    chosen: Form = next(known for known in get_args(Form) if known == form)
    return replace(plan, instead=Refuse(refusal=refusal, form=chosen))


def _nested_error(plan: Plan, given: Parameters) -> Plan:
    status = given.whole("status", 429)
    if status < 400:  # noqa: PLR2004 - the first error status of HTTP
        raise BadParameter("'status' must be from 400 to 599.")
    refusal = Refusal("nested", status, given.text("code", "insufficient_quota"), "Not now.")
    return replace(plan, instead=Refuse(refusal=refusal, form="nested"))


def _retry_after(plan: Plan, given: Parameters) -> Plan:
    headers = (("retry-after", str(given.whole("s", 1))),)
    return replace(plan, instead=Refuse(refusal=REFUSALS["rate_quota"], headers=headers))


def _echo_key_error(plan: Plan, _: Parameters) -> Plan:
    message = f"Incorrect API key provided: {plan.knobs.key}. Find your key in the console."
    return replace(plan, instead=Refuse(refusal=Refusal("echo", 400, "InvalidParameter", message)))


def _big_event(plan: Plan, given: Parameters) -> Plan:
    size = given.whole("bytes", 3_000_000)
    return replace(plan, shape=replace(plan.shape, big_event_bytes=size))


def _silence(plan: Plan, given: Parameters) -> Plan:
    return replace(plan, knobs=replace(plan.knobs, silence_s=given.number("s", 10.0)))


def _slow_headers(plan: Plan, given: Parameters) -> Plan:
    return replace(plan, headers_delay_s=given.number("delay", 3.0))


def _gated(plan: Plan, given: Parameters) -> Plan:
    return replace(plan, gate=given.text("tag", "default"))


def _json_200(plan: Plan, _: Parameters) -> Plan:
    return replace(plan, always_json=True)


_PARTIAL: Final = (("x-dashscope-partialresponse", "true"),)
_ELSEWHERE: Final = (("location", "http://127.0.0.1:9/elsewhere"),)
_EVENTS: Final = "text/event-stream;charset=UTF-8"

_ALL: Final[tuple[tuple[str, str, Change], ...]] = (
    ("normal", "the search finds pictures, the answer names them", _shape()),
    ("no_results", "the search finds nothing", _shape(found=False)),
    ("no_tool_call", "the model answers without searching", _shape(calls=0)),
    ("two_calls", "two searches, of the first two images or of one twice", _shape(calls=2)),
    ("message_call_message", "a message before the search too", _shape(opening_message=True)),
    ("no_reasoning", "no reasoning items", _shape(reasoning=False)),
    (
        "reasoning_summary_text",
        "reasoning deltas under their older names",
        _shape(reasoning_name="reasoning_summary_text"),
    ),
    ("sequence_gaps", "sequence numbers with gaps", _shape(numbering="gaps")),
    ("sequence_repeats", "sequence numbers that come twice", _shape(numbering="repeats")),
    (
        "id_equals_sequence",
        "an event's id is its sequence number",
        _shape(numbering="id_is_sequence"),
    ),
    ("drifting_output_index", "an item ends under another index", _shape(index_drifts=True)),
    ("usage_without_x_tools", "usage does not count tools", _shape(usage="no_x_tools")),
    ("usage_missing", "no usage at all", _shape(usage="missing")),
    ("invented_url", "the text names a URL that no search found", _shape(invented_url=True)),
    ("incomplete", "the answer stops half way, status incomplete", _shape(cut_short=True)),
    ("echo_key", "the API key stands in the answer's text", _shape(echoes_key=True)),
    ("echo_key_error", "HTTP 400 whose message holds the API key", _echo_key_error),
    ("gated", "event 3 waits until the gate `tag` is opened", _gated),
    ("crlf", "lines end in CRLF", _framing(newline="\r\n")),
    ("cr", "lines end in CR", _framing(newline="\r")),
    ("split_utf8", "chunks end inside characters", _framing(chunks="inside_characters")),
    ("one_byte_chunks", "one byte a chunk", _framing(chunks="byte")),
    ("big_event", "one event of `bytes` bytes", _big_event),
    ("glued_event_name", "the status comment hangs on the name", _framing(name="glued")),
    ("no_event_name", "no event lines", _framing(name="none")),
    ("multi_data_lines", "each JSON over three data lines", _framing(data_lines="three")),
    ("bom", "the body starts with a byte order mark", _framing(byte_order_mark=True)),
    ("done_marker", "data:[DONE] at the end", _framing(done_marker=True)),
    ("comments", "comment lines and blocks everywhere", _framing(comments=True)),
    ("no_final_blank_line", "the last event is not closed", _framing(final_blank_line=False)),
    ("space_after_colon", "a space after each field's colon", _framing(colon=": ")),
    ("extra_blank_lines", "two blank lines after each event", _framing(extra_blank_lines=True)),
    ("slow_headers", "headers come after `delay` seconds", _slow_headers),
    ("stall_before_first", "headers, then nothing", _breaks(Where.HEADERS, How.STALL)),
    ("stall", "`after` events, then nothing", _breaks(Where.AFTER, How.STALL)),
    ("silence", "the search takes `s` seconds", _silence),
    ("hang", "the request is taken and never answered", _breaks(Where.START, How.STALL)),
    ("http_400", "HTTP 400, flat body", _refuses("input_length")),
    ("http_401", "HTTP 401, flat body", _refuses("key_invalid")),
    ("http_403", "HTTP 403, flat body", _refuses("model_denied")),
    ("http_404", "HTTP 404, flat body", _refuses("model_not_found")),
    ("http_405", "HTTP 405, flat body", _refuses("method")),
    ("http_429", "HTTP 429, flat body", _refuses("rate_quota")),
    ("http_500", "HTTP 500, flat body", _refuses("internal")),
    ("http_503", "HTTP 503, flat body", _refuses("unavailable")),
    ("http_502_html", "a gateway's page", _canned(502, "text/html", _page("502 Bad Gateway"))),
    ("http_504_html", "a gateway's page", _canned(504, "text/html", _page("504 Gateway Time-out"))),
    ("nested_error", "an OpenAI-shaped error of `status` and `code`", _nested_error),
    ("sse_framed_error", "HTTP 400 framed as data, called JSON", _refuses("input_length", "sse")),
    ("retry_after", "HTTP 429 with Retry-After: `s`", _retry_after),
    ("redirect", "HTTP 307 to elsewhere", _canned(307, "text/plain", b"", _ELSEWHERE)),
    ("error", "the refusal `row`, carried `as` a form", _error),
    ("throttled_200", "throttled inside an HTTP 200", _refuses("throttled_200")),
    ("throttled_tag", "throttled, with the status in angle brackets", _refuses("throttled_tag")),
    ("bracket_400", "refused, with the status in square brackets", _refuses("bracket_400")),
    ("backend_overflow", "a transient failure inside an HTTP 200", _refuses("backend_overflow")),
    (
        "failed_mid_stream",
        "response.failed after the results",
        _breaks(Where.RESULTS, How.FAILED, row="backend_overflow"),
    ),
    (
        "error_frame_mid_stream",
        "a flat error frame after `after` events",
        _breaks(Where.AFTER, How.FRAME, row="allocation_quota"),
    ),
    ("data_inspection", "the content inspection refuses", _refuses("inspection")),
    ("arrearage", "the account is in arrears", _refuses("arrearage")),
    ("cut_between_events", "EOF after `after` events", _breaks(Where.AFTER, How.END)),
    ("cut_inside_event", "EOF inside an event", _breaks(Where.INSIDE_EVENT, How.END)),
    ("cut_inside_utf8", "EOF inside a character", _breaks(Where.INSIDE_CHARACTER, How.END)),
    ("cut_after_results", "EOF right after the results", _breaks(Where.RESULTS, How.END)),
    ("reset_before_headers", "TCP RST before headers", _breaks(Where.START, How.RESET)),
    ("reset_after_headers", "TCP RST after the headers", _breaks(Where.HEADERS, How.RESET)),
    ("reset_mid_stream", "TCP RST after `after` events", _breaks(Where.AFTER, How.RESET)),
    ("unterminated_chunked", "closed without the last chunk", _breaks(Where.AFTER, How.CLOSE)),
    ("garbage", "no events in an event stream", _canned(200, _EVENTS, b"\x00\xff{]\n" * 64)),
    ("html_200", "a page with HTTP 200", _canned(200, "text/html", _page("Sign in"))),
    ("json_200", "the whole response as JSON, though a stream was asked", _json_200),
    (
        "binary_200",
        "bytes with HTTP 200",
        _canned(200, "application/octet-stream", bytes(range(256)) * 8),
    ),
    ("empty_200", "an event stream without a byte", _breaks(Where.HEADERS, How.END)),
    (
        "partial_180",
        "cut by their time limit, and marked so",
        _breaks(Where.AFTER, How.END, headers=_PARTIAL),
    ),
    ("no_terminal", "all but the terminal event", _breaks(Where.TERMINAL, How.END)),
    ("after_terminal", "more events after the terminal one", _shape(after_terminal=True)),
    ("endless", "deltas without end", _breaks(Where.MESSAGE, How.DELTAS)),
    ("event_without_end", "a data line without end", _breaks(Where.AFTER, How.LINE)),
    ("fails_after_billing", "HTTP 500, and yet billed", _refuses("internal", billed=True)),
)

SCENARIOS: Final[dict[str, Scenario]] = {row[0]: Scenario(*row) for row in _ALL}
