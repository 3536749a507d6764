"""The `key=value` words of a scenario wish, read with bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# name: what it means. The bounds of numbers are in `_HIGHEST`.
PARAMETERS: Final[dict[str, str]] = {
    "pace": "seconds before each delta",
    "silence": "seconds of silence while the search runs",
    "results": "how many pictures a search returns",
    "seed": "makes the answer's bytes repeatable, ids and times included",
    "times": "only the first so many calls with this tag get the scenario",
    "tag": "groups calls for `times`, and names a gate",
    "after": "how many events come first",
    "delay": "seconds before the headers",
    "s": "seconds, of the silence or of Retry-After",
    "bytes": "the size of an event or delta",
    "row": "a slug of the refusals table",
    "as": "http, failed, frame, nested or sse",
    "status": "an HTTP status",
    "code": "an error code",
}
_HIGHEST: Final[dict[str, float]] = {
    "pace": 60,
    "silence": 600,
    "results": 100,
    "seed": 2**31 - 1,
    "times": 1_000_000,
    "after": 1_000_000,
    "delay": 600,
    "s": 100_000,
    "bytes": 64 * 1024 * 1024,
    "status": 599,
}


class BadParameter(ValueError):
    """A parameter is unknown, no number, or out of its bounds."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one call."""

    given: Mapping[str, str]

    @classmethod
    def read(cls, words: Iterable[str]) -> Self:
        """Read `key=value` words.

        Raises:
            BadParameter: a key is not in `PARAMETERS`.
        """
        given = dict(word.split("=", 1) for word in words)
        unknown = [key for key in given if key not in PARAMETERS]
        if unknown:
            raise BadParameter(
                f"No parameter is named '{unknown[0]}'. There are: {', '.join(PARAMETERS)}."
            )
        return cls(given)

    def text(self, name: str, default: str) -> str:
        """A word."""
        return self.given.get(name, default)

    def number(self, name: str, default: float) -> float:
        """A number from 0 to the parameter's highest.

        Raises:
            BadParameter: it is no number, or out of bounds.
        """
        if name not in self.given:
            return default
        try:
            value = float(self.given[name])
        except ValueError as exc:
            raise BadParameter(f"'{name}' must be a number.") from exc
        if not 0 <= value <= _HIGHEST[name]:
            raise BadParameter(f"'{name}' must be from 0 to {_HIGHEST[name]:g}.")
        return value

    def whole(self, name: str, default: int) -> int:
        """A whole number, with the bounds of `number`."""
        return int(self.number(name, default))
