"""What operators and orchestrators ask: alive, ready, and how it goes."""

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.api.headers import sent
from app.api.routing import RequestRoute
from app.api.service import service_of

router = APIRouter(route_class=RequestRoute)


class Alive(BaseModel):
    status: Literal["ok"]


class Ready(BaseModel):
    status: Literal["ready"]


class NotReady(BaseModel):
    status: Literal["draining"]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=Alive)
async def healthz(_: Request) -> Response:
    """Say that the process answers; the upstream is not asked."""
    return JSONResponse({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": NotReady, "headers": sent("Retry-After")}},
)
async def readyz(request: Request) -> Response:
    """Say whether new searches are welcome; 503 from the first moment of a shutdown."""
    if service_of(request).runs.draining:
        return JSONResponse({"status": "draining"}, status_code=503, headers={"Retry-After": "5"})
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    service = service_of(request)
    service.metrics.runs_active.set(service.runs.active)
    service.metrics.store_bytes.set(service.runs.size_bytes)
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
