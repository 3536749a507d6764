"""A record of the calls that the simulator received, for tests that count. Bounded."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

CALLS_MAX: Final = 50_000
_SUMS: Final = ("billed", "tool_calls", "input_tokens", "output_tokens")

Finished = Literal["completed", "failed", "cut", "client_gone", "refused"]


@dataclass(frozen=True, slots=True)
class InputImage:
    """An input image after decoding. `bytes_sha256`: hex digest of the file."""

    bytes_sha256: str
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Charge:
    """Something that is billed."""

    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class Call:
    """One `POST /responses`. Its fields are filled in while it is being answered.

    Attributes:
        finished: how it ended; `cut` when the answer was broken off on purpose.
        headers: of the request by lower-case name, without the key.
    """

    number: int
    request_id: str = ""
    response_id: str = ""
    model: str = ""
    stream: bool = False
    prompt: str = ""
    images: list[InputImage] = field(default_factory=list)
    scenario: str = ""
    billed: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    finished: Finished = "cut"
    headers: dict[str, str] = field(default_factory=dict)

    def add(self, charge: Charge | None) -> None:
        """Bill something, if anything, to this call."""
        if charge:
            self.billed = True
            self.tool_calls += charge.tool_calls
            self.input_tokens += charge.input_tokens
            self.output_tokens += charge.output_tokens


class Record:
    """All calls. The counters go on when old calls are dropped.

    Attributes:
        calls: the last finished calls, oldest first.
        open: calls being answered now.
        total: calls received, open ones included.
        billed, tool_calls, input_tokens, output_tokens: sums over finished calls.
        on_body: called with the JSON body of each request, for tests that look into it.
    """

    def __init__(self) -> None:
        self.open = 0
        self.on_body: Callable[[dict[str, Any]], None] = lambda _: None
        self._changed = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget all calls and sums; calls that are open stay open."""
        self.calls: deque[Call] = deque(maxlen=CALLS_MAX)
        self.total = self.billed = self.tool_calls = self.input_tokens = self.output_tokens = 0

    @contextmanager
    def calling(self) -> Iterator[Call]:
        """Hold one call open; it is recorded however it ends."""
        self.total += 1
        self.open += 1
        call = Call(self.total)
        self._notify()
        try:
            yield call
        finally:
            self.open -= 1
            self.calls.append(call)
            for name in _SUMS:
                setattr(self, name, getattr(self, name) + getattr(call, name))
            self._notify()

    async def until(self, condition: "Callable[[Record], bool]") -> None:
        """Wait for a condition; it is checked again at each call's start and end."""
        while not condition(self):
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until no call is open."""
        await self.until(lambda record: record.open == 0)

    def summary(self, last: int) -> dict[str, Any]:
        """The counters and the last calls, as JSON values."""
        counters = {name: getattr(self, name) for name in ("open", "total", *_SUMS)}
        calls = list(self.calls)[-last:] if last else []
        return counters | {"calls": [asdict(call) for call in calls]}

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
