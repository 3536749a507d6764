"""What a client asks about itself: a token for a browser, and what it has spent today."""

from fastapi import APIRouter, Request

from app import errors
from app.api.bodies import read_json, validated
from app.api.dependencies import Call, Credentials, Identified, count
from app.api.middleware import has_body
from app.api.openapi import IDENTIFIED, answer, body, refusals
from app.api.schemas import TokenRequest
from app.results import ClientUsage, Token
from app.service import Service

BODY_MAX_BYTES = 4_096

TOKEN_BODY = body(json=TokenRequest, required=False)
CREATED = answer("RateLimit", "RateLimit-Policy") | refusals(
    *(errors.Unauthorized, errors.TokenExpired, errors.Forbidden, errors.RouteNotFound),
    *(errors.RateLimited, errors.Overloaded, errors.InvalidRequest, errors.MalformedBody),
    *(errors.UploadTimeout, errors.ImageTooLarge, errors.EncodingUnsupported),
)

router = APIRouter()


@router.post("/tokens", tags=["tokens"], openapi_extra=TOKEN_BODY, responses=CREATED)
async def create_token(request: Request, shown: Credentials) -> Token:
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
            fields = await read_json(call, memory, max_bytes=BODY_MAX_BYTES)
    wanted = validated(TokenRequest, fields)
    return credentials.mint(client, origin=wanted.origin, ttl_s=wanted.ttl_s)


@router.get("/usage", tags=["operations"], responses=answer() | refusals(*IDENTIFIED))
async def get_usage(call: Identified) -> ClientUsage:
    """Get what the calling client has spent today, and may still spend."""
    return await call.service.guards.budget.spending(call.client.name)
