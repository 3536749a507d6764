"""How one call will be answered. Scenarios change the plan; `responses` carries it out."""

from dataclasses import dataclass
from typing import Literal

from simulator.refusals import Form, Refusal

Headers = tuple[tuple[str, str], ...]

# Where an answer breaks off.
Stop = Literal[
    "before_headers",
    "after_headers",
    "after_events",  # after `Plan.after` events
    "inside_event",  # in the middle of the event after those
    "inside_character",  # between two bytes of one character
    "after_results",  # after the first search's results
    "after_delta",  # after the first piece of the answer's text
    "before_terminal",  # before the last event
]
# What happens there.
Ending = Literal[
    "eof",  # the body ends in order
    "reset",  # TCP RST
    "close",  # the connection is closed without the body's last chunk
    "stall",  # nothing more is sent
    "error_event",  # DashScope's flat `error` event, then the end
    "failed_event",  # `response.failed`, then the end
    "endless_deltas",
    "endless_line",
]


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error in place of an answer. `billed`: the search was made and is charged anyway."""

    refusal: Refusal
    form: Form = "http"
    headers: Headers = ()
    billed: bool = False


@dataclass(frozen=True, slots=True)
class FixedReply:
    """A fixed reply in place of an answer, such as a gateway's error page."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that can differ from call to call.

    Attributes:
        seed: chooses the wording; ids and timestamps too if `repeatable`.
        reply: what is sent in place of an answer.
        ending: None when the answer is sent to its end.
        refusal: the error of an `ending` that reports one.
    """

    key: str
    pace_s: float
    silence_s: float
    results: int
    seed: int
    repeatable: bool = False
    scenario: str = "normal"
    reply: ErrorReply | FixedReply | None = None
    headers: Headers = ()
    headers_delay_s: float = 0.0
    gate: str | None = None
    always_json: bool = False

    # The answer's content.
    calls: int = 1
    found: bool = True
    opening_message: bool = False
    reasoning: bool = True
    reasoning_name: Literal["reasoning_text", "reasoning_summary_text"] = "reasoning_text"
    numbering: Literal["plain", "gaps", "repeats", "id_is_sequence"] = "plain"
    index_drifts: bool = False
    usage: Literal["full", "no_x_tools", "missing"] = "full"
    invented_url: bool = False
    cut_short: bool = False
    echoes_key: bool = False
    big_event_bytes: int = 0
    after_terminal: bool = False

    # The framing of its events.
    newline: str = "\n"
    colon: str = ":"
    event_name: Literal["line", "glued", "none"] = "line"
    three_data_lines: bool = False
    byte_order_mark: bool = False
    comments: bool = False
    extra_blank_lines: bool = False
    final_blank_line: bool = True
    done_marker: bool = False
    chunks: Literal["event", "byte", "inside_characters"] = "event"

    # The break.
    ending: Ending | None = None
    stop: Stop = "after_events"
    after: int = 5
    size_bytes: int = 1024
    refusal: Refusal | None = None
