"""What operators ask, alive, ready and the metrics, and what clients ask about themselves."""

import multiprocessing
from secrets import compare_digest
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from app import errors
from app.api.bodies import read_json, validated
from app.api.dependencies import BearerHeader, Call, Identified, count
from app.api.middleware import has_body
from app.api.openapi import IDENTIFIED, answer, body, refusals
from app.api.schemas import TokenRequest
from app.results import ApiModel, ClientUsage, Token, WhenKnown
from app.service import Service

TOKEN_BODY = body(json=TokenRequest, required=False)
CREATED_ANSWERS = answer("RateLimit", "RateLimit-Policy") | refusals(
    *(errors.Unauthorized, errors.TokenExpired, errors.Forbidden, errors.RouteNotFound),
    *(errors.RateLimited, errors.Overloaded, errors.InvalidRequest, errors.MalformedBody),
    *(errors.UploadTimeout, errors.ImageTooLarge, errors.EncodingUnsupported),
)

router = APIRouter(responses=refusals())


class Health(ApiModel, json_schema_serialization_defaults_required=False):
    """How the process is."""

    status: Literal["ok", "ready", "draining"]
    """`ok` if it answers; on `/readyz` whether new searches are accepted."""
    note: WhenKnown[str] = None
    """What breaks as this process is run, where something does."""


@router.post("/tokens", tags=["tokens"], openapi_extra=TOKEN_BODY, responses=CREATED_ANSWERS)
async def create_token(request: Request, shown: BearerHeader) -> Token:
    """Make a browser token for the client whose key is shown."""
    service: Service = request.app.state.service
    credentials = service.guards.credentials
    if not credentials.mints:
        raise errors.RouteNotFound("No tokens are made here: CLIENT_TOKEN_SECRET is not set.")
    client = credentials.identify_key_holder(shown.credentials.strip() if shown else None)
    request.state.caller = client
    call = await count(Call(request, service, client))
    fields = {}
    if has_body(request.headers):
        with call.hold_memory() as memory:
            fields = await read_json(call, memory, max_bytes=4_096)
    wanted = validated(TokenRequest, fields)
    return credentials.mint(client, origin=wanted.origin, ttl_s=wanted.ttl_s)


@router.get("/usage", tags=["operations"], responses=answer() | refusals(*IDENTIFIED))
async def get_usage(call: Identified) -> ClientUsage:
    """Get what the calling client has spent today, and may still spend."""
    return await call.service.guards.budget.spending(call.client.name)


@router.get("/healthz", tags=["operations"], responses=answer())
@router.head("/healthz", include_in_schema=False)
async def get_health() -> Health:
    """Say that the process answers; the upstream is not asked."""
    return Health(status="ok")


@router.get(
    "/readyz",
    tags=["operations"],
    responses=answer() | answer("Retry-After", status=503, model=Health),
)
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
    tags=["operations"],
    response_class=PlainTextResponse,
    responses=answer() | refusals(errors.Unauthorized),
    openapi_extra={"security": [{}]},  # The token is optional.
)
async def get_metrics(request: Request, shown: BearerHeader) -> Response:
    """Get the metrics in Prometheus' text format."""
    service: Service = request.app.state.service
    token = service.settings.metrics_token.get_secret_value().encode()
    if token and not (shown and compare_digest(shown.credentials.encode(), token)):
        raise errors.Unauthorized("The metrics are shown to the holder of METRICS_TOKEN.")
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def several_workers() -> str | None:
    """What breaks if a process manager such as `uvicorn --workers` runs more than this process."""
    if multiprocessing.parent_process() is None:
        return None
    return (
        "runs as a worker process: of several, each has searches, budgets and rates of its own, "
        "and a search is found by one of them only; run one worker"
    )
