"""What one simulator keeps between calls."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.connection import Connection
from simulator.images import SearchImage
from simulator.knobs import Knobs
from simulator.record import Record
from simulator.refusals import Refusal, Refused

# The vendor keeps responses for seven days. Their input holds whole data URLs.
_RESPONSES_MAX: Final = 200


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


@dataclass(frozen=True, slots=True)
class Stored:
    """One answered request."""

    response: dict[str, Any]
    input_items: list[dict[str, Any]]
    images: list[SearchImage]
    previous_response_id: str | None


@dataclass(frozen=True, slots=True)
class State:
    """Given to every endpoint.

    Attributes:
        stored: the last responses by id.
        tags: calls of scenarios that are limited by `times`.
        connections: of the calls being answered.
    """

    knobs: Knobs
    record: Record = field(default_factory=Record)
    gate: Gate = field(default_factory=Gate)
    stored: dict[object, Stored] = field(default_factory=dict)
    tags: Counter[str] = field(default_factory=Counter)
    connections: set[Connection] = field(default_factory=set)

    def store(self, stored: Stored) -> None:
        """Keep a response; the oldest is dropped."""
        self.stored[stored.response["id"]] = stored
        if len(self.stored) > _RESPONSES_MAX:
            del self.stored[next(iter(self.stored))]

    def find(self, response_id: str) -> Stored:
        """A stored response; raises `Refused` if there is none with this id."""
        if response_id not in self.stored:
            message = f"Response with id '{response_id}' not found."
            raise Refused(Refusal("not_found", 404, "InvalidParameter", message))
        return self.stored[response_id]

    def hang_up(self) -> None:
        """Break every open call: the server is stopping."""
        for connection in tuple(self.connections):
            connection.reset()
