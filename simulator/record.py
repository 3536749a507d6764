"""What the simulator was asked and how it ended, for tests that count. Bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS_KEPT: Final = 50_000

Finished = Literal["completed", "failed", "cut", "client_gone", "refused"]


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """An input image as it was decoded. `bytes_sha256`: hex, of the file's bytes."""

    bytes_sha256: str
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Call:
    """One finished `POST /responses`."""

    number: int
    request_id: str
    response_id: str
    model: str
    stream: bool
    prompt: str
    images: list[SeenPicture]
    scenario: str
    billed: bool
    input_tokens: int
    output_tokens: int
    tool_calls: int
    finished: Finished
    headers: dict[str, str]


@dataclass(slots=True)
class Note:
    """A call while it is being answered: the same fields, filled in as they become known."""

    number: int
    request_id: str = ""
    response_id: str = ""
    model: str = ""
    stream: bool = False
    prompt: str = ""
    images: list[SeenPicture] = field(default_factory=list)
    scenario: str = ""
    billed: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    finished: Finished = "cut"
    headers: dict[str, str] = field(default_factory=dict)

    def freeze(self) -> Call:
        """The call as it ended."""
        return Call(**{each.name: getattr(self, each.name) for each in fields(Call)})


class Record:
    """All calls. Counters go on when old calls are dropped.

    Attributes:
        calls: the last finished calls, oldest first.
        open: calls being answered now.
        total: calls that came, open ones included.
        billed, tool_calls, input_tokens, output_tokens: sums over finished calls.
    """

    def __init__(self) -> None:
        self.open = 0
        self._changed = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self.total = 0
        self.billed = 0
        self.tool_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0

    @contextmanager
    def calling(self) -> Iterator[Note]:
        """Hold one call open; it is recorded however it ends."""
        self.total += 1
        self.open += 1
        note = Note(self.total)
        self._tell()
        try:
            yield note
        finally:
            self.open -= 1
            self._add(note.freeze())
            self._tell()

    async def until(self, condition: Callable[[Record], bool]) -> None:
        """Return as soon as the condition holds; asked again at each call's start and end."""
        while not condition(self):
            await self._changed.wait()

    async def idle(self) -> None:
        """Return as soon as no call is open."""
        await self.until(lambda record: record.open == 0)

    def reset(self) -> None:
        """Forget all calls and sums; calls that are open stay so."""
        self._begin()

    def summary(self, last: int) -> dict[str, Any]:
        """Counters and the last calls, as JSON values."""
        counted = ("open", "total", "billed", "tool_calls", "input_tokens", "output_tokens")
        shown = list(self.calls)[-last:] if last else []
        counters: dict[str, Any] = {name: getattr(self, name) for name in counted}
        return counters | {"calls": [asdict(call) for call in shown]}

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self.billed += call.billed
        self.tool_calls += call.tool_calls
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
