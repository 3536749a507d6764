"""What operators and orchestrators ask: alive, ready, and the metrics."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from app.api.openapi import headers, refusals
from app.api.service import ServiceDep
from app.results import ApiModel

RETRY_AFTER_S = 5
"""By then another replica, or the new process, answers."""

OK = {200: {"headers": headers()}}

router = APIRouter(tags=["operations"], responses=refusals())


class Health(ApiModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    """Always `ok`."""


class Readiness(ApiModel):
    """Whether new searches are accepted."""

    status: Literal["ready", "draining"]
    """`draining` from the first moment of a shutdown."""


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses=OK)
async def get_health() -> Health:
    """Say that the process answers; the upstream is not asked."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=Readiness,
    responses=OK | {503: {"model": Readiness, "headers": headers("Retry-After")}},
)
async def get_readiness(service: ServiceDep) -> Response:
    """Say whether new searches are accepted; 503 from the first moment of a shutdown."""
    if service.draining.is_set() or service.runs.draining:
        retry_after = {"Retry-After": str(RETRY_AFTER_S)}
        return JSONResponse({"status": "draining"}, status_code=503, headers=retry_after)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse, responses=OK)
async def get_metrics(service: ServiceDep) -> Response:
    """Get the metrics in Prometheus' text format."""
    service.metrics.runs_active.set(service.runs.active)
    service.metrics.store_bytes.set(service.runs.size_bytes)
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
