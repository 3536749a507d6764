"""What the endpoints work with: the wired parts of one service instance."""

from dataclasses import dataclass

from starlette.requests import Request

from app.guards import Guards
from app.images.intake import ImageIntake
from app.responses import Responses
from app.runs import Runs
from app.search import Searches
from app.settings import Settings
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Service:
    """Built once in `app.main`, found by every handler through `service_of`."""

    settings: Settings
    metrics: Metrics
    guards: Guards
    intake: ImageIntake
    runs: Runs
    searches: Searches
    responses: Responses


def service_of(request: Request) -> Service:
    """Return the service that a request came to."""
    service: Service = request.app.state.service
    return service
