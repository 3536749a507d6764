"""Browser tokens: a backend's client key buys a short-lived token for a page."""

import json

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api.body import BodyLimits, read_bytes, require_json
from app.api.caller import charge, identify_key_holder
from app.api.request import field_errors
from app.api.routing import RequestRoute
from app.api.service import service_of
from app.errors import InvalidRequest, MalformedBody, RouteNotFound
from app.models import Client

TOKEN_BODY_MAX_BYTES = 4_096

router = APIRouter(route_class=RequestRoute)


class TokenRequest(BaseModel):
    """What a token is for; all of it may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    origin: str | None = Field(default=None, description="The only pages that may use it.")
    ttl_s: int | None = Field(default=None, description="Seconds it is good for.")


class TokenBody(BaseModel):
    """A token, and the second since 1970 when it ends."""

    token: str
    expires_at: int


@router.post(
    "/tokens",
    response_model=TokenBody,
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": TokenRequest.model_json_schema()}}
        }
    },
)
async def tokens(request: Request) -> Response:
    """Mint a browser token for the client whose key is shown."""
    service = service_of(request)
    if not service.guards.mints:
        raise RouteNotFound("No tokens are made here: CLIENT_TOKEN_SECRET is not set.")
    caller = identify_key_holder(request)
    charge(request, caller)
    asked = await _read(request, caller)
    token = service.guards.mint(caller, origin=asked.origin, ttl_s=asked.ttl_s)
    return JSONResponse(
        {"token": token.token, "expires_at": token.expires_at},
        headers={"Cache-Control": "no-store"},
    )


async def _read(request: Request, caller: Client) -> TokenRequest:
    service = service_of(request)
    idle_s = service.settings.upload_idle_timeout_s
    limits = BodyLimits(body_bytes=TOKEN_BODY_MAX_BYTES, file_bytes=0, files=0, idle_s=idle_s)
    with service.intake.memory.hold(caller=caller.name) as held:
        body = await read_bytes(request, limits, held)
    if not body:
        return TokenRequest()
    require_json(request)
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    try:
        return TokenRequest.model_validate(fields)
    except ValidationError as exc:
        raise InvalidRequest("A field is not valid.", fields=field_errors(exc)) from exc
