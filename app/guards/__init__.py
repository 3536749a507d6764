"""Guards: who may search, how often, how many at once, and for how much money. No HTTP."""

from app.guards.guards import Guards, Permit

__all__ = ["Guards", "Permit"]
