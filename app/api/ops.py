"""What operators and orchestrators ask: alive, ready, and the metrics."""

import multiprocessing
from secrets import compare_digest
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ConfigDict
from starlette.responses import Response

from app.api.dependencies import Credentials
from app.api.openapi import answer, refusals
from app.errors import Unauthorized
from app.results import ApiModel, WhenKnown
from app.service import Service

router = APIRouter(tags=["operations"], responses=refusals())


class Health(ApiModel):
    """How the process is."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    status: Literal["ok", "ready", "draining"]
    """`ok` if it answers; on `/readyz` whether new searches are accepted."""
    note: WhenKnown[str] = None
    """What breaks as this process is run, where something does."""


@router.get("/healthz", responses=answer())
@router.head("/healthz", include_in_schema=False)
async def get_health() -> Health:
    """Say that the process answers; the upstream is not asked."""
    return Health(status="ok")


@router.get("/readyz", responses=answer() | answer("Retry-After", status=503, model=Health))
@router.head("/readyz", include_in_schema=False)
async def get_readiness(request: Request, response: Response) -> Health:
    """Say whether new searches are accepted; 503 from the first moment of a shutdown."""
    draining = request.app.state.service.is_draining()
    if draining:
        response.status_code = 503
        response.headers["Retry-After"] = "5"  # By then another process answers.
    return Health(status="draining" if draining else "ready", note=several_workers())


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=answer() | refusals(Unauthorized),
    openapi_extra={"security": [{}]},  # The token is optional.
)
async def get_metrics(request: Request, shown: Credentials) -> Response:
    """Get the metrics in Prometheus' text format."""
    service: Service = request.app.state.service
    token = service.settings.metrics_token.get_secret_value().encode()
    if token and not (shown and compare_digest(shown.credentials.encode(), token)):
        raise Unauthorized("The metrics are shown to the holder of METRICS_TOKEN.")
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def several_workers() -> str | None:
    """What breaks if a process manager such as `uvicorn --workers` runs more than this process."""
    if multiprocessing.parent_process() is None:
        return None
    return (
        "runs as a worker process: of several, each has searches, budgets and rates of its own, "
        "and a search is found by one of them only; run one worker"
    )
