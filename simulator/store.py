"""Responses that can be asked for again. The vendor keeps them seven days; this one keeps few."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.refusal import Refusal, Refused

if TYPE_CHECKING:
    from simulator.images import SeenImage

RESPONSES_MAX: Final = 2_000
# Input items hold whole data URLs.
INPUT_MAX_BYTES: Final = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One answered request. `size_bytes`: of its body."""

    response: dict[str, Any]
    input_items: list[dict[str, Any]]
    images: tuple[SeenImage, ...]
    previous_response_id: str | None
    size_bytes: int


class Store:
    """Stored responses by id, the oldest dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Stored] = OrderedDict()
        self._size_bytes = 0

    def keep(self, stored: Stored) -> None:
        """Keep one response under its id."""
        self._drop(stored.response["id"])
        self._kept[stored.response["id"]] = stored
        self._size_bytes += stored.size_bytes
        while len(self._kept) > RESPONSES_MAX or self._size_bytes > INPUT_MAX_BYTES:
            self._drop(next(iter(self._kept)))

    def find(self, response_id: str) -> Stored | None:
        """The response with this id, if it is kept."""
        return self._kept.get(response_id)

    def get(self, response_id: str) -> Stored:
        """The response with this id.

        Raises:
            Refused: there is none.
        """
        stored = self._kept.get(response_id)
        if stored is None:
            message = f"Response with id '{response_id}' not found."
            raise Refused(Refusal("not_found", 404, "InvalidParameter", message))
        return stored

    def delete(self, response_id: str) -> None:
        """Forget it.

        Raises:
            Refused: there is none.
        """
        self.get(response_id)
        self._drop(response_id)

    def _drop(self, response_id: str) -> None:
        stored = self._kept.pop(response_id, None)
        if stored is not None:
            self._size_bytes -= stored.size_bytes
