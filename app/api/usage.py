"""What the calling client has spent today, and may still spend."""

from datetime import date
from typing import Literal

from fastapi import APIRouter

from app.api.dependencies import Caller
from app.api.openapi import IDENTIFIED, answer, refusals
from app.api.service import ServiceDep
from app.results import ApiModel, Money

router = APIRouter(tags=["operations"], responses=refusals(*IDENTIFIED))


class ClientUsage(ApiModel):
    """The calling client's spending of one UTC day."""

    day: date
    """The day, in UTC."""
    currency: Literal["CNY"] = "CNY"
    """Always CNY."""
    spent: Money
    """What its searches have cost."""
    reserved: Money
    """What is set aside for searches under way."""
    budget: Money | None
    """What it may spend in a day; null without a budget."""
    left: Money | None
    """What it may still spend, by its own budget and that of all clients; null without either."""
    searches: int
    """Searches that were admitted, those under way included."""


@router.get("/usage", responses=answer())
async def get_usage(service: ServiceDep, client: Caller) -> ClientUsage:
    """Get what the calling client has spent today, and may still spend."""
    today = await service.guards.budget.spending(client.name)
    return ClientUsage(
        day=today.day,
        spent=today.account.spent,
        reserved=today.account.reserved,
        budget=today.budget,
        left=today.left,
        searches=today.account.searches,
    )
