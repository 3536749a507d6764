"""The stand-in upstream: DashScope's Responses API with `image_search`, on loopback.

It imports nothing of the service, so that both can be wrong only independently.
"""

from simulator.plan import Knobs
from simulator.server import create_app

__all__ = ["Knobs", "create_app"]
