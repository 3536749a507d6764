"""Settings of one simulator. A call can override some of them."""

from dataclasses import dataclass
from typing import Final

# The vendor's documented ceiling for the results of one search is 100.
_HIGHEST: Final = {"pace_s": 60, "silence_s": 600, "results": 100, "seed": 2**31 - 1}


class KnobError(ValueError):
    """A setting is out of its bounds; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Settings of one simulator; raises `KnobError` for a value out of bounds.

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
        for name, highest in _HIGHEST.items():
            # Written so that NaN fails too.
            if not 0 <= getattr(self, name) <= highest:
                raise KnobError(f"{name} must be from 0 to {highest}, not {getattr(self, name):g}")
        if not self.key:
            raise KnobError("key must not be empty")
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise KnobError("public_url must start with http:// or https://")
