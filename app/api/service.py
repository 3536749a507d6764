"""The wired parts of one service instance, and how routes get them."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from app.guards import Guards
from app.images.intake import ImageIntake
from app.responses import Responses
from app.runs import Runs
from app.search import Searches
from app.settings import Settings
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Service:
    """Built in `app.main` when the application starts; it is `app.state.service`."""

    settings: Settings
    metrics: Metrics
    guards: Guards
    intake: ImageIntake
    runs: Runs
    searches: Searches
    responses: Responses
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from the first moment of a shutdown."""

    async def drain(self, grace_s: float) -> None:
        """Refuse new searches, and let those under way end for `grace_s` seconds."""
        self.draining.set()
        await self.runs.drain(grace_s)


async def get_service(request: Request) -> Service:
    """The service of the application that a request came to."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
