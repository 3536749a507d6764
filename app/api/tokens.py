"""Browser tokens: a backend exchanges its client key for a short-lived token for a page."""

from fastapi import APIRouter, Request

from app import errors
from app.api.bodies import read_json, validated
from app.api.dependencies import KeyHolder
from app.api.middleware import has_body
from app.api.openapi import answer, body, refusals
from app.api.schemas import TokenRequest
from app.api.service import ServiceDep
from app.results import Token

BODY_MAX_BYTES = 4_096

BODY = body(json=TokenRequest)
BODY["requestBody"]["required"] = False
CREATED = answer("RateLimit", "RateLimit-Policy")
REFUSED = refusals(
    *(errors.Unauthorized, errors.TokenExpired, errors.Forbidden, errors.RouteNotFound),
    *(errors.RateLimited, errors.Overloaded, errors.InvalidRequest, errors.MalformedBody),
    *(errors.UploadTimeout, errors.ImageTooLarge, errors.EncodingUnsupported),
)

router = APIRouter(tags=["tokens"])


@router.post("/tokens", openapi_extra=BODY, responses=CREATED | REFUSED)
async def create_token(request: Request, service: ServiceDep, client: KeyHolder) -> Token:
    """Make a browser token for the client whose key is shown."""
    fields = {}
    if has_body(request.headers):
        with service.intake.memory.hold(caller=client.name) as memory:
            fields = (await read_json(request, memory, max_bytes=BODY_MAX_BYTES)).found
    wanted = validated(TokenRequest, fields, strict=True)
    return service.guards.credentials.mint(client, origin=wanted.origin, ttl_s=wanted.ttl_s)
