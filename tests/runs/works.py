"""A piece of work that a test conducts step by step."""

import asyncio
from collections.abc import Sequence

from app.errors import ServiceError
from app.models import Answer, Client, Emit, Event, SearchResult
from app.runs import RunLimits, Runs

OWNER = Client("web", "web")
CREATED = Event("search.created", b"{}")
DELTA = Event("response.output_text.delta", b'{"delta":"word"}')


class ScriptedWork:
    """Gives the events that a test puts in; an exception is raised, `None` ends it."""

    def __init__(self, run_id: str = "") -> None:
        self.run_id = run_id
        self.steps: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self.started = asyncio.Event()
        self.closed = False
        self.final = ""

    async def run(self, emit: Emit) -> None:
        self.started.set()
        try:
            while (step := await self.steps.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                emit([step])
        finally:
            self.closed = True

    def progress(self, events: Sequence[Event], elapsed_s: float) -> Event:
        return Event("search.progress", b'{"elapsed_s":%d}' % elapsed_s)

    def conclude(
        self, events: Sequence[Event], *, error: ServiceError | None, cancelled: bool
    ) -> list[Event]:
        self.final = "failed" if error else "cancelled" if cancelled else "completed"
        told = [Event(*error.told_by)] if error and error.told_by else []
        return [*told, Event(f"search.{self.final}", b"{}")]

    def result(self, events: Sequence[Event]) -> SearchResult:
        return SearchResult(
            id=self.run_id, status="in_progress", model="m", answer=Answer(), created_at=0
        )

    def do(self, *steps: Event | Exception | None) -> None:
        """Put steps in."""
        for step in steps:
            self.steps.put_nowait(step)


class Stage:
    """Runs, and the works that were made for them, in order."""

    def __init__(self, **limits: float) -> None:
        self.runs = Runs(RunLimits(**limits))  # type: ignore[arg-type] # one type serves all
        self.works: list[ScriptedWork] = []

    def make(self, run_id: str) -> ScriptedWork:
        self.works.append(ScriptedWork(run_id))
        return self.works[-1]
