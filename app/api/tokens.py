"""Browser tokens: a backend exchanges its client key for a short-lived token for a page."""

from fastapi import APIRouter, Request

from app.api.bodies import BodyLimits, read_json, validated
from app.api.dependencies import KeyHolder
from app.api.openapi import body, headers, refusals
from app.api.schemas import Token, TokenRequest
from app.api.service import ServiceDep
from app.errors import (
    EncodingUnsupported,
    Forbidden,
    ImageTooLarge,
    InvalidRequest,
    MalformedBody,
    Overloaded,
    RateLimited,
    RouteNotFound,
    Unauthorized,
    UploadTimeout,
)

BODY_MAX_BYTES = 4_096

BODY = body(json=TokenRequest)
BODY["requestBody"]["required"] = False
CREATED = {200: {"headers": headers("RateLimit", "RateLimit-Policy")}}
REFUSED = refusals(
    *(Unauthorized, Forbidden, RouteNotFound, RateLimited, Overloaded, InvalidRequest),
    *(MalformedBody, UploadTimeout, ImageTooLarge, EncodingUnsupported),
)

router = APIRouter(tags=["tokens"])


@router.post("/tokens", openapi_extra=BODY, responses=CREATED | REFUSED)
async def create_token(request: Request, service: ServiceDep, client: KeyHolder) -> Token:
    """Make a browser token for the client whose key is shown."""
    limits = BodyLimits.of(service.settings, body_bytes=BODY_MAX_BYTES)
    with service.intake.memory.hold(caller=client.name) as memory:
        found = await read_json(request, limits, memory, optional=True)
    wanted = validated(TokenRequest, found, strict=True)
    minted = service.guards.credentials.mint(client, origin=wanted.origin, ttl_s=wanted.ttl_s)
    return Token(token=minted.token, expires_at=minted.expires_at)
