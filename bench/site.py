"""One subject in its place: the processes to watch, and the upstream behind it to command."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.delivery import body_of
from bench.exchange import Parts, dial
from bench.faces import Face, control, get
from bench.shape import Shape
from bench.subjects import Started
from bench.usage import cpu_s, memory_bytes


@dataclass
class Spent:
    """CPU seconds and wall seconds of one stretch of time."""

    subject_s: float = 0
    upstream_s: float = 0
    load_s: float = 0
    wall_s: float = 0


@dataclass
class Site:
    """What the measurements need of a subject under way."""

    face: Face
    pid: int | None
    port: int
    upstream_pid: int
    upstream_port: int
    probed: Callable[[], AbstractContextManager[tuple[Started, int]]] | None = None
    """Starts another one of the subject, with a probe on its loop, and tells the probe's port."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def number(self) -> int:
        """One more number, so that no two requests of a subject are the same search."""
        return next(self.numbers)

    def streams(self, count: int) -> list[Parts]:
        """So many requests for a stream, all different."""
        return [self.face.stream(self.number()) for _ in range(count)]

    def memory_bytes(self) -> int:
        """Memory of the subject."""
        return memory_bytes(self.pid) if self.pid else 0

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """Measure a stretch; the record is filled in at its end."""
        spent = Spent()
        before = self._clocks()
        yield spent
        after = self._clocks()
        spent.subject_s, spent.upstream_s, spent.load_s, spent.wall_s = (
            late - early for early, late in zip(before, after, strict=True)
        )

    async def answer_with(self, shape: Shape) -> None:
        """Set what the upstream answers from now on."""
        await self._command(control("PUT /shape", shape.as_json()))

    async def go(self) -> int:
        """Release the held streams; how many the upstream had."""
        return int((await self._command(control("POST /go")))["streams"])

    async def upstream_late_ms(self) -> float:
        """How late the upstream's own clock ever was since the shape was set."""
        return float((await self._command(get("/stats")))["late_ms"])

    async def picture_sha256(self) -> str:
        """Digest of the last picture that the upstream was sent."""
        return str((await self._command(get("/image")))["sha256"])

    async def _command(self, parts: Parts) -> Any:
        caller = await dial(self.upstream_port)
        try:
            return json.loads(body_of(await caller.ask(parts)))
        finally:
            caller.close()

    def _clocks(self) -> tuple[float, float, float, float]:
        subject_s = cpu_s(self.pid) if self.pid else 0
        return subject_s, cpu_s(self.upstream_pid), time.process_time(), time.perf_counter()
