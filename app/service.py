"""The wired parts of one service instance."""

import asyncio
from dataclasses import dataclass, field

from app.guards.guards import Guards
from app.images.intake import ImageIntake
from app.runs.runs import Runs
from app.settings import Settings
from app.telemetry import Metrics
from app.tracing import Tracing
from app.upstream.client import UpstreamClient


@dataclass(frozen=True, slots=True)
class Service:
    """Built in `app.main` when the application starts; it is `app.state.service`."""

    settings: Settings
    metrics: Metrics
    tracing: Tracing
    upstream: UpstreamClient
    guards: Guards
    intake: ImageIntake
    runs: Runs
    uploads: set[asyncio.Timeout] = field(default_factory=set)  # Waits for the rest of bodies.
    copying: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_draining(self) -> bool:
        return self.runs.draining

    async def drain(self, grace_s: float) -> None:
        """Refuse new searches, and let those under way end for `grace_s` seconds."""
        self.runs.draining = True
        for upload in self.uploads:
            if not upload.expired():
                upload.reschedule(0)
        # Searches that wait for a picture will not begin: their callers are told at once.
        await asyncio.gather(self.runs.drain(grace_s), self.intake.close())
