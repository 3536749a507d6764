"""How a call is answered: the simulator's settings, and what scenarios change."""

from dataclasses import dataclass
from typing import Final, Literal

from simulator.refusals import Form, Refusal

# Where an answer breaks off: before or after the headers, after or inside an event, inside a
# character, after the first results, after the first text delta, before the terminal event.
Stop = Literal["start", "headers", "after", "event", "character", "results", "delta", "terminal"]
# What happens there. The last two send text deltas, or one data line, without end.
Ending = Literal["eof", "reset", "close", "stall", "error_event", "failed_event", "deltas", "line"]

# The vendor's documented ceiling for the results of one search is 100.
KNOBS_MAX: Final = {"pace_s": 60, "silence_s": 600, "results": 100, "seed": 2**31 - 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Settings of one simulator; raises `ValueError` for one out of bounds.

    Attributes:
        key: the only API key that is accepted.
        pace_s: seconds before each text delta.
        silence_s: seconds without any event while the search runs.
        results: how many pictures a search returns at most; the gallery may hold fewer.
        seed: chooses the wording of answers.
        public_url: base of the links in results; by default the address in the request's `Host`.
    """

    key: str = "sk-simulated"
    pace_s: float = 0.02
    silence_s: float = 2.0
    results: int = 8
    seed: int = 0
    public_url: str | None = None

    def __post_init__(self) -> None:
        for name, highest in KNOBS_MAX.items():
            # Written so that NaN fails too.
            if not 0 <= getattr(self, name) <= highest:
                raise ValueError(f"{name} must be from 0 to {highest}, not {getattr(self, name):g}")
        if not self.key:
            raise ValueError("key must not be empty")
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise ValueError("public_url must start with http:// or https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Knobs):
    """The settings as one call has them, and its scenarios.

    Attributes:
        names: the scenarios; many have no field here, and are asked for by their names.
        repeatable: the seed chooses ids and timestamps too.
        ending: what breaks the answer, None when it is sent to its end.
        after, size_bytes: events before the break, and the size of an endless delta.
        refusal, form: the error in place of an answer, or of an `ending` that reports one.
        billed: the error comes although the search was made, and is charged.
        fixed: status, content type and Latin-1 body of a reply that is neither answer nor error.
        calls: how many searches the model makes.
    """

    names: tuple[str, ...] = ()
    repeatable: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    headers_delay_s: float = 0.0
    gate: str | None = None
    refusal: Refusal | None = None
    form: Form = "http"
    billed: bool = False
    fixed: tuple[int, str, str] | None = None
    calls: int = 1
    big_event_bytes: int = 0
    ending: Ending | None = None
    stop: Stop = "after"
    after: int = 5
    size_bytes: int = 1024
