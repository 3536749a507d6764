"""How one call is to be answered: what scenarios change, and what the answer is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simulator.knobs import Knobs
    from simulator.refusal import Form, Refusal

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the answer consists of, whatever carries it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How events become bytes, and bytes become chunks."""

    newline: str = "\n"
    colon: str = ":"
    name: Literal["line", "glued", "none"] = "line"
    data_lines: Literal["one", "three"] = "one"
    byte_order_mark: bool = False
    comments: bool = False
    extra_blank_lines: bool = False
    final_blank_line: bool = True
    done_marker: bool = False
    chunks: Literal["event", "byte", "inside_characters"] = "event"


class Where(Enum):
    """The place at which a stream breaks."""

    START = auto()  # before the response's headers
    HEADERS = auto()  # after them, before the first event
    AFTER = auto()  # after so many events
    INSIDE_EVENT = auto()  # in the middle of the event after so many
    INSIDE_CHARACTER = auto()  # between two bytes of one character
    RESULTS = auto()  # right after the first search's results
    MESSAGE = auto()  # after the first piece of the answer's text
    TERMINAL = auto()  # before the terminal event


class How(Enum):
    """The way in which a stream breaks."""

    END = auto()  # an orderly end of the body
    RESET = auto()  # TCP RST
    CLOSE = auto()  # closed without the body's last chunk
    STALL = auto()  # nothing more, for ever
    FRAME = auto()  # the flat error event, then the end
    FAILED = auto()  # `response.failed`, then the end
    DELTAS = auto()  # text that never ends
    LINE = auto()  # one data line that never ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where and how a stream breaks. `size_bytes` is for what never ends."""

    where: Where
    how: How
    after: int = 5
    size_bytes: int = 1024
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """A refusal in place of an answer. `billed`: the work was done and is charged all the same."""

    refusal: Refusal
    form: Form = "http"
    headers: Headers = ()
    billed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """A fixed reply in place of an answer, such as a gateway's page."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of it for one call. `seed`: set when ids and moments must be repeatable too."""

    knobs: Knobs
    scenario: str = "normal"
    seed: int | None = None
    shape: Shape = field(default_factory=Shape)
    framing: Framing = field(default_factory=Framing)
    instead: Refuse | Canned | None = None
    breaks: Break | None = None
    headers: Headers = ()
    headers_delay_s: float = 0.0
    gate: str | None = None
    always_json: bool = False
