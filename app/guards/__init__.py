"""Guards: who may search, how often, how many at once, and for how much money. No HTTP."""

from app.guards.credentials import Identity, Token
from app.guards.guards import Guards
from app.guards.rate import RateStatus

__all__ = ["Guards", "Identity", "RateStatus", "Token"]
