"""A service that the tests of a module share; where one needs it for itself, it runs its own."""

from tests.e2e.callers import GUARDED
from tests.service import running, shared

service = shared(running)
"""Open to anybody."""
guarded = shared(running, **GUARDED)
"""With two clients, their tokens, and one page that may ask."""
