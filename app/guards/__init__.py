"""Guards: who may search, how often, how many at once, and for how much money."""

from app.guards.capacity import Capacity
from app.guards.counters import RateStatus
from app.guards.guards import Guards
from app.guards.identity import ANONYMOUS, Identity
from app.guards.origins import Origins, normal_origin
from app.guards.permit import Permit
from app.guards.prices import Estimate, Prices
from app.guards.settings import GuardSettings
from app.guards.tokens import Token

__all__ = [
    "ANONYMOUS",
    "Capacity",
    "Estimate",
    "GuardSettings",
    "Guards",
    "Identity",
    "Origins",
    "Permit",
    "Prices",
    "RateStatus",
    "Token",
    "normal_origin",
]
