"""The wired parts of one service instance, and how routes get them."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from app.errors import Internal, InvalidRequest, ModelNotAllowed
from app.guards import Guards
from app.images.intake import ImageIntake
from app.models import Client
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
    copying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the files of a form are copied out of it."""
    uploads: set[asyncio.Timeout] = field(default_factory=set)
    """The waits for what is still to come of a body."""

    def is_draining(self) -> bool:
        """Whether a shutdown has begun."""
        return self.runs.draining

    async def drain(self, grace_s: float) -> None:
        """Refuse new searches, and let those under way end for `grace_s` seconds."""
        self.runs.draining = True
        for upload in self.uploads:
            if not upload.expired():
                upload.reschedule(0)
        # Searches that wait for a picture will not begin: their callers are told at once.
        await asyncio.gather(self.runs.drain(grace_s), self.intake.close())

    def check_model(self, model: str) -> None:
        """Refuse a model that is not offered."""
        if model not in self.settings.models:
            offered = ", ".join(self.settings.models)
            raise ModelNotAllowed(f"This model is not offered. Offered are: {offered}.")

    def check_length(self, field: str, chars: int) -> None:
        """Refuse a text that is longer than a prompt may be."""
        if 0 < self.settings.prompt_max_chars < chars:
            raise InvalidRequest.of(field, f"At most {self.settings.prompt_max_chars} characters.")

    def check_image_count(self, count: int, field: str = "image") -> None:
        """Refuse more images than are allowed."""
        if count > self.settings.image_max_count:
            raise InvalidRequest.of(field, f"At most {self.settings.image_max_count} images.")

    async def check_follow_up(self, client: Client, response_id: str | None) -> None:
        """Refuse to follow up a response that is not kept, or not this client's."""
        if response_id is None:
            return
        if not self.settings.upstream_store:
            reason = "Answers are not kept here, so none can be followed up."
            raise InvalidRequest.of("previous_response_id", reason)
        await self.guards.responses.check(response_id, client.name)


async def get_service(request: Request) -> Service:
    service: Service | None = getattr(request.app.state, "service", None)
    if service is None:
        raise Internal("Not started: the application around this one must run its lifespan.")
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
