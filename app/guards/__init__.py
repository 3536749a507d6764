"""Guards: who may search, how often, how many at once, and for how much money. No HTTP."""
