"""A subject that runs, with the upstream behind it: what it spends, what the upstream answers."""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.answer import Answer
from bench.apis import request
from bench.client import Client, Request
from bench.processes import ROOT, Server, cpu_s, family, free_port, memory_bytes, serving
from bench.subjects import Subject


@dataclass
class Spent:
    """CPU seconds and wall seconds of one stretch of time."""

    subject_s: float = 0
    upstream_s: float = 0
    load_s: float = 0
    wall_s: float = 0


@dataclass
class Running:
    """What the measures need; `pid` is `None` where nothing stands before the upstream."""

    subject: Subject
    pid: int | None
    port: int
    upstream_pid: int
    upstream_port: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def streams(self, count: int) -> list[Request]:
        """So many requests for streams, all different."""
        return [self.subject.api.search(next(self.numbers), stream=True) for _ in range(count)]

    def memory_bytes(self, *, children: bool = True) -> int:
        """Resident memory; with that of child processes, shared pages counted in each."""
        pids = family(self.pid) if self.pid and children else filter(None, [self.pid])
        return sum(map(memory_bytes, pids))

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """Measure a stretch of time; the record is filled in at its end."""
        spent, before = Spent(), self._clocks()
        yield spent
        after = self._clocks()
        spent.subject_s, spent.upstream_s, spent.load_s, spent.wall_s = (
            late - early for early, late in zip(before, after, strict=True)
        )

    async def set_answer(self, answer: Answer) -> None:
        """Choose what the upstream answers from now on."""
        await self.control("PUT /answer", json.dumps(asdict(answer)).encode())

    async def control(self, line: str, body: bytes = b"") -> dict[str, Any]:
        """Send a control request to the upstream, such as `POST /go`."""
        client = await Client.connect(self.upstream_port)
        try:
            return dict(json.loads(await client.ask(request(line, body))))
        finally:
            client.close()

    def _clocks(self) -> tuple[float, float, float, float]:
        subject_s = cpu_s(self.pid) if self.pid else 0
        return subject_s, cpu_s(self.upstream_pid), time.process_time(), time.perf_counter()


@contextmanager
def running(subject: Subject, *, subject_core: int, load_core: int) -> Iterator[Running]:
    """Start a subject and an upstream of its own, both fresh; end both."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imagesearch-bench-")))
        upstream_port = free_port()
        command = [sys.executable, "-m", "bench.upstream", str(upstream_port)]
        server = Server(command, upstream_port, "/stats", {"PYTHONPATH": str(ROOT)})
        upstream = serving(server, core=load_core, log=folder / "upstream.log")
        upstream_pid, pid, port = stack.enter_context(upstream), None, upstream_port
        if subject.server:
            server = subject.server(folder, (free_port(), upstream_port))
            pid = stack.enter_context(serving(server, core=subject_core, log=folder / "log"))
            port = server.port
        yield Running(subject, pid, port, upstream_pid, upstream_port)
