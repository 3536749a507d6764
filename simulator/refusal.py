"""A failure in the vendor's words. All that are known: see `refusals`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["http", "failed", "frame", "nested", "sse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way of saying no. `form` is how it usually travels (see `envelopes`)."""

    slug: str
    status: int
    code: str
    message: str
    form: Form = "http"


class Refused(Exception):
    """The call ends with this refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str) -> Refusal:
    """A refused parameter, in the vendor's usual code."""
    return Refusal("invalid", 400, "InvalidParameter", message)
