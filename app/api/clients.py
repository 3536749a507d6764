"""What a client asks about itself: a token for a browser, and what it has spent today."""

from dataclasses import asdict
from datetime import date
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from app import errors
from app.api.bodies import read_json, validated
from app.api.dependencies import Identified, KeyHolder
from app.api.middleware import has_body
from app.api.openapi import IDENTIFIED, answer, body, refusals
from app.api.schemas import TokenRequest
from app.results import ApiModel, Money, Token

BODY_MAX_BYTES = 4_096

TOKEN_BODY = body(json=TokenRequest, required=False)
CREATED = answer("RateLimit", "RateLimit-Policy") | refusals(
    *(errors.Unauthorized, errors.TokenExpired, errors.Forbidden, errors.RouteNotFound),
    *(errors.RateLimited, errors.Overloaded, errors.InvalidRequest, errors.MalformedBody),
    *(errors.UploadTimeout, errors.ImageTooLarge, errors.EncodingUnsupported),
)

router = APIRouter()


class ClientUsage(ApiModel):
    """The calling client's spending of one UTC day."""

    day: date = Field(description="The day, in UTC.")
    currency: Literal["CNY"] = Field(default="CNY", description="Always CNY.")
    spent: Money = Field(description="What its searches have cost.")
    reserved: Money = Field(description="What is set aside for searches under way.")
    budget: Money | None = Field(description="What it may spend in a day; null without a budget.")
    left: Money | None
    """What it may still spend, by its own budget and that of all clients; null without either."""
    searches: int = Field(description="Searches that were admitted, those under way included.")


@router.post("/tokens", tags=["tokens"], openapi_extra=TOKEN_BODY, responses=CREATED)
async def create_token(call: KeyHolder) -> Token:
    """Make a browser token for the client whose key is shown."""
    fields = {}
    if has_body(call.request.headers):
        with call.hold_memory() as memory:
            fields = await read_json(call, memory, max_bytes=BODY_MAX_BYTES)
    wanted = validated(TokenRequest, fields)
    credentials = call.service.guards.credentials
    return credentials.mint(call.client, origin=wanted.origin, ttl_s=wanted.ttl_s)


@router.get("/usage", tags=["operations"], responses=answer() | refusals(*IDENTIFIED))
async def get_usage(call: Identified) -> ClientUsage:
    """Get what the calling client has spent today, and may still spend."""
    today = await call.service.guards.budget.spending(call.client.name)
    money = asdict(today.account)
    return ClientUsage(day=today.day, budget=today.budget, left=today.left, **money)
