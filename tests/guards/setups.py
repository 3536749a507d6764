"""Guards as the tests set them up."""

from dataclasses import dataclass
from typing import Any

from app.guards import Guards, GuardSettings
from app.models import Client
from app.telemetry import Metrics

SECRET = "canary-secret-of-at-least-32-bytes-1"
OLDER_SECRET = "canary-secret-of-at-least-32-bytes-0"
SHOP_KEY = "canary-key-shop"
BLOG_KEY = "canary-key-blog"
KEYS = f"shop:{SHOP_KEY},blog:{BLOG_KEY}"
SHOP = Client("shop", "key:shop")
BLOG = Client("blog", "key:blog")
PRICED = "qwen3.7-plus"
UNPRICED = "qwen3.8-27b"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float

    def __call__(self) -> float:
        return self.now


def make_guards(
    *, clock: Clock | None = None, wall: Clock | None = None, **settings: Any
) -> Guards:
    return Guards(
        GuardSettings.read(**settings),
        metrics=Metrics(),
        clock=clock or Clock(0),
        wall=wall or Clock(0),
    )
