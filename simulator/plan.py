"""How one call will be answered. Scenarios change the plan; `reply` carries it out."""

from dataclasses import dataclass
from typing import Final, Literal

from simulator.refusals import Form, Refusal

Headers = tuple[tuple[str, str], ...]

# Where an answer breaks off: before or after the headers, after or inside an event, inside a
# character, after the first results, after the first text delta, before the terminal event.
Stop = Literal["start", "headers", "after", "event", "character", "results", "delta", "terminal"]
# What happens there. The last two send text deltas, or one data line, without end.
Ending = Literal["eof", "reset", "close", "stall", "error_event", "failed_event", "deltas", "line"]

# The `key=value` words of a call and the highest number of each, None for words. `seed` makes all
# bytes of an answer repeatable; with `times` only the first so many calls of a `tag` count.
_BYTES_MAX: Final = 64 * 1024 * 1024
PARAMETERS: Final[dict[str, int | None]] = {
    "pace": 60,
    "silence": 600,
    "results": 100,
    "delay": 600,
    "s": 100_000,
    "status": 599,
    "seed": 2**31 - 1,
    "times": 10**6,
    "after": 10**6,
    "bytes": _BYTES_MAX,
    **dict.fromkeys(("tag", "row", "as", "code")),
}


class BadParameter(ValueError):
    """A parameter is unknown, not a number, or out of bounds."""


class Parameters(dict[str, str]):
    """The parameters of one call."""

    def number(self, name: str, default: float) -> float:
        """A number within its bounds; raises `BadParameter` for anything else."""
        highest = PARAMETERS[name]
        try:
            value = float(self.get(name, default))
        except ValueError as exc:
            raise BadParameter(f"'{name}' must be a number.") from exc
        if highest is not None and not 0 <= value <= highest:
            raise BadParameter(f"'{name}' must be from 0 to {highest}.")
        return value

    def whole(self, name: str, default: int) -> int:
        """A number without its fraction."""
        return int(self.number(name, default))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that can differ from call to call.

    Attributes:
        seed: chooses the wording; ids and timestamps too if `repeatable`.
        ending: what breaks the answer, None when it is sent to its end.
        after, size_bytes: events before the break, and the size of an endless delta.
        refusal, form: the error in place of an answer, or of an `ending` that reports one.
        billed: the error comes although the search was made, and is charged.
        fixed: status, content type and body of a reply that is neither answer nor error.
    """

    key: str
    pace_s: float
    silence_s: float
    results: int
    seed: int
    repeatable: bool = False
    scenario: str = "normal"
    headers: Headers = ()
    headers_delay_s: float = 0.0
    gate: str | None = None
    always_json: bool = False
    refusal: Refusal | None = None
    form: Form = "http"
    billed: bool = False
    fixed: tuple[int, str, bytes] | None = None

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
    stop: Stop = "after"
    after: int = 5
    size_bytes: int = 1024
