"""A subject that runs, with the upstream behind it, and many streams of it at once."""

import asyncio
import gc
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from bench.client import Client, Request, WrongAnswer, ask_once, request
from bench.processes import ROOT, Server, cpu_s, family, free_port, memory_bytes, serving
from bench.subjects import Subject
from bench.upstream import Answer

OPENING_AT_ONCE = 20  # of streams that are held: neither a flood nor a trickle
TIMEOUT_S = 120.0  # for all streams to open, and for all to end: longer, and something is broken
SETTLE_S = 0.2  # between the last opening and the release, for work that was put off
STALL_S = 0.1
DELTA = b'output_text.delta"'  # in each one's data; `event:` lines have no quote there
DELTA_TEXT = re.compile(rb'"delta": ?"([^"]*)"')


@dataclass
class Spent:
    """CPU seconds and wall seconds of one stretch of time."""

    subject_s: float = 0
    upstream_s: float = 0
    load_s: float = 0
    wall_s: float = 0


@dataclass
class Running:
    """What the measures need."""

    subject: Subject
    pid: int
    port: int
    upstream_pid: int
    upstream_port: int
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(time.time_ns()))

    def streams(self, count: int) -> list[Request]:
        """So many requests for streams, all different."""
        return [self.subject.api.search(next(self.numbers), stream=True) for _ in range(count)]

    def memory_bytes(self, *, children: bool = True) -> int:
        """Resident memory; with that of child processes, shared pages counted in each."""
        return sum(map(memory_bytes, family(self.pid) if children else [self.pid]))

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """Measure a stretch of time; garbage waits, or its pauses would look like the subject's."""
        gc.collect()
        gc.disable()
        spent, before = Spent(), self._clocks()
        try:
            yield spent
        finally:
            gc.enable()
        after = self._clocks()
        spent.subject_s, spent.upstream_s, spent.load_s, spent.wall_s = (
            late - early for early, late in zip(before, after, strict=True)
        )

    async def set_answer(self, answer: Answer) -> None:
        """Choose what the upstream answers from now on."""
        await self.control("PUT /answer", json.dumps(asdict(answer)).encode())

    async def control(self, line: str, body: bytes = b"") -> dict[str, Any]:
        """Send a control request to the upstream, such as `POST /go`."""
        return dict(json.loads(await ask_once(self.upstream_port, request(line, body))))

    def _clocks(self) -> tuple[float, float, float, float]:
        upstream_s, load_s = cpu_s(self.upstream_pid), time.process_time()
        return cpu_s(self.pid), upstream_s, load_s, time.perf_counter()


@contextmanager
def running(subject: Subject, *, cores: set[int], load_core: int) -> Iterator[Running]:
    """Start a subject and an upstream of its own, both fresh; end both."""
    upstream_port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(upstream_port)]
    upstream = Server(command, upstream_port, "/stats", {"PYTHONPATH": str(ROOT)})
    with (
        tempfile.TemporaryDirectory(prefix="imagesearch-bench-") as name,
        serving(upstream, cores={load_core}, log=Path(name, "upstream.log")) as upstream_pid,
    ):
        server = subject.server(Path(name), (free_port(), upstream_port))
        with serving(server, cores=cores, log=Path(name, "log")) as pid:
            yield Running(subject, pid, server.port, upstream_pid, upstream_port)


@dataclass
class Streams:
    """Streams of one answer that are open, and what it took to open and to feed them."""

    target: Running
    answer: Answer
    clients: list[Client]
    opening: Spent
    feeding: Spent = field(default_factory=Spent)
    released_s: float = 0

    @classmethod
    async def open(cls, target: Running, answer: Answer, count: int) -> Self:
        """Open streams; if the answer is held, their deltas wait until `finish`."""
        await target.set_answer(answer)
        turns = asyncio.Semaphore(OPENING_AT_ONCE if answer.held else count)

        async def open_one(request: Request) -> Client:
            async with turns:
                client = await Client.connect(target.port)
                await client.open(request)
                return client

        with target.spending() as opening:
            async with asyncio.timeout(TIMEOUT_S):
                clients = await asyncio.gather(*map(open_one, target.streams(count)))
        if answer.held:
            await asyncio.sleep(SETTLE_S)
        return cls(target, answer, clients, opening)

    async def finish(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Release the streams, read them to their ends, close and `check` them."""
        with self.target.spending() as self.feeding:
            self.released_s = time.perf_counter()
            await self.target.control("POST /go")
            if meanwhile:
                await meanwhile()
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*(client.ended.wait() for client in self.clients))
        for client in self.clients:
            client.close()
            check(client.body, self.answer.text, self.target.subject.api.last)

    @property
    def stalled(self) -> int:
        """How many had to wait over STALL_S for a delta, the first one counted from the release."""
        return sum(
            any(after - before > STALL_S for before, after in pairwise([self.released_s, *times]))
            for times in map(delta_times_s, self.clients)
        )


def check(body: bytes, text: str, last: bytes) -> None:
    """Raise WrongAnswer unless each delta came, in order, and the terminal event once and last."""
    if b"".join(DELTA_TEXT.findall(body)) != text.encode():
        raise WrongAnswer("deltas were lost, doubled or out of order")
    blocks = [one for one in body.replace(b"\r\n", b"\n").split(b"\n\n") if one.strip()]
    if blocks[-1].strip() == b"data: [DONE]":
        del blocks[-1]
    if sum(last in block for block in blocks) != 1 or last not in blocks[-1]:
        raise WrongAnswer(f"the terminal event is not once and last: …{body[-300:]!r}")


def delta_times_s(client: Client) -> list[float]:
    """When deltas came."""
    return [at for at, piece in zip(client.times, client.pieces, strict=True) if DELTA in piece]
