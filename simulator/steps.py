"""The steps of which a call's script consists: what can happen on a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simulator.events import Tally

if TYPE_CHECKING:
    from simulator.plan import Headers
    from simulator.record import Finished


@dataclass(frozen=True, slots=True)
class Start:
    """Send the status and headers."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Chunk:
    """Send these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds pass; infinity is until the client leaves."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait at this gate."""

    tag: str


@dataclass(frozen=True, slots=True)
class Keep:
    """The answer is whole: it can be asked for again from now on."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the connection's part: an orderly end, a reset, or a plain close."""

    how: Literal["end", "reset", "close"]
    finished: Finished


Step = Start | Chunk | Wait | Hold | Tally | Keep | Finish
