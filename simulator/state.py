"""What one simulator keeps between calls."""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.connection import Connection
from simulator.images import SearchImage
from simulator.knobs import Knobs
from simulator.record import Record
from simulator.refusals import Refusal, Refused

# The vendor keeps responses for seven days. Their input holds whole data URLs.
RESPONSES_MAX: Final = 2_000
INPUT_MAX_BYTES: Final = 128 * 1024 * 1024


class Gate:
    """Named gates, which tests open. One that is opened before anybody waits stays open."""

    def __init__(self) -> None:
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def open(self, tag: str) -> None:
        """Let every stream pass that waits, or will wait, at this gate."""
        self._gates[tag].set()

    def at(self, tag: str) -> asyncio.Event:
        """The event that is set when this gate is open."""
        return self._gates[tag]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One answered request. `size_bytes`: of its body."""

    response: dict[str, Any]
    input_items: list[dict[str, Any]]
    images: list[SearchImage]
    previous_response_id: str | None
    size_bytes: int


class Store:
    """Stored responses by id. The oldest are dropped first."""

    def __init__(self) -> None:
        self._stored: OrderedDict[str, Stored] = OrderedDict()
        self._size_bytes = 0

    def add(self, stored: Stored) -> None:
        """Keep one response under its id."""
        self.delete(stored.response["id"])
        self._stored[stored.response["id"]] = stored
        self._size_bytes += stored.size_bytes
        while len(self._stored) > RESPONSES_MAX or self._size_bytes > INPUT_MAX_BYTES:
            self.delete(next(iter(self._stored)))

    def find(self, response_id: object) -> Stored | None:
        """The response with this id, if it is stored."""
        return self._stored.get(response_id) if isinstance(response_id, str) else None

    def get(self, response_id: str) -> Stored:
        """The response with this id.

        Raises:
            Refused: there is none.
        """
        stored = self.find(response_id)
        if stored is None:
            message = f"Response with id '{response_id}' not found."
            raise Refused(Refusal("not_found", 404, "InvalidParameter", message))
        return stored

    def delete(self, response_id: str) -> None:
        """Remove the response with this id, if it is stored."""
        if stored := self._stored.pop(response_id, None):
            self._size_bytes -= stored.size_bytes


@dataclass(frozen=True, slots=True)
class State:
    """Given to every endpoint. `connections`: of the calls being answered."""

    knobs: Knobs
    record: Record = field(default_factory=Record)
    gate: Gate = field(default_factory=Gate)
    store: Store = field(default_factory=Store)
    tags: Counter[str] = field(default_factory=Counter)
    connections: set[Connection] = field(default_factory=set)

    def hang_up(self) -> None:
        """Break every open call: the server is stopping."""
        for connection in tuple(self.connections):
            connection.abort()
