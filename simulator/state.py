"""What one simulator holds between calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.gate import Gate
from simulator.images import Images
from simulator.record import Record
from simulator.scenarios import Tries
from simulator.store import Store

if TYPE_CHECKING:
    from simulator.knobs import Knobs
    from simulator.line import Line


@dataclass(frozen=True, slots=True)
class State:
    """Handed to every endpoint. `lines`: the connections of calls being answered."""

    knobs: Knobs
    record: Record = field(default_factory=Record)
    gate: Gate = field(default_factory=Gate)
    store: Store = field(default_factory=Store)
    images: Images = field(default_factory=Images)
    tries: Tries = field(default_factory=Tries)
    lines: set[Line] = field(default_factory=set)

    def hang_up(self) -> None:
        """Break every open call: the server is going down."""
        for line in tuple(self.lines):
            line.reset()
