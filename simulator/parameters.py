"""The `key=value` words with which a call adjusts its scenario."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulator.knobs import PACE_MAX_S, RESULTS_MAX, SEED_MAX, SILENCE_MAX_S

# The highest value of a number, None for a word.
PARAMETERS: Final[Mapping[str, int | None]] = {
    "pace": PACE_MAX_S,  # seconds before each delta
    "silence": SILENCE_MAX_S,  # seconds of silence while the search runs
    "results": RESULTS_MAX,  # pictures that a search returns
    "seed": SEED_MAX,  # makes the bytes of an answer repeatable, ids and times included
    "times": 1_000_000,  # only the first so many calls with this tag get the scenario
    "tag": None,  # groups calls for `times`, and names a gate
    "after": 1_000_000,  # events before the break
    "delay": 600,  # seconds before the headers
    "s": 100_000,  # seconds of silence, or of Retry-After
    "bytes": 64 * 1024 * 1024,  # size of an event or of a delta
    "row": None,  # slug of a row of REFUSALS
    "as": None,  # one of `refusals.Form`
    "status": 599,  # HTTP status of an error
    "code": None,  # code of an error
}


class BadParameter(ValueError):
    """A parameter is unknown, not a number, or out of bounds."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one call.

    Raises:
        BadParameter: a key is not in `PARAMETERS`, or a number is out of bounds.
    """

    given: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in self.given:
            if name not in PARAMETERS:
                known = ", ".join(PARAMETERS)
                raise BadParameter(f"No parameter is named '{name}'. There are: {known}.")

    def text(self, name: str, default: str) -> str:
        return self.given.get(name, default)

    def number(self, name: str, default: float) -> float:
        """A number from 0 to the parameter's highest value."""
        highest = PARAMETERS[name]
        try:
            value = float(self.given.get(name, default))
        except ValueError as exc:
            raise BadParameter(f"'{name}' must be a number.") from exc
        if highest is not None and not 0 <= value <= highest:
            raise BadParameter(f"'{name}' must be from 0 to {highest}.")
        return value

    def whole(self, name: str, default: int) -> int:
        """A number without its fraction."""
        return int(self.number(name, default))
