"""Callers as the tests of access have them: their keys, and tokens valid and forged."""

import time
from typing import Any

import jwt

from simulator.pictures import PICTURES
from tests.service import GALLERY_URL

SHOP_KEY = "canary-key-of-the-shop"
BLOG_KEY = "canary-key-of-the-blog"
SECRET = "canary-secret-of-at-least-32-bytes-1"
PAGE = "https://app.example"
EVIL = "https://evil.example"
GUARDED: dict[str, Any] = {
    "client_keys": f"shop:{SHOP_KEY},blog:{BLOG_KEY}",
    "client_token_secret": SECRET,
    "allow_anonymous": False,
    "cors_origins": PAGE,
}
GUARDED_PROCESS = {name.upper(): str(value) for name, value in GUARDED.items()}
ASKED = {"image_url": GALLERY_URL + PICTURES[7].name, "prompt": "What is this?"}


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


SHOP, BLOG = bearer(SHOP_KEY), bearer(BLOG_KEY)


def claims(**changed: Any) -> dict[str, Any]:
    return {"sub": "shop", "exp": int(time.time()) + 7_200, "jti": "j-1", **changed}


def token(**changed: Any) -> str:
    """A token as a backend that has the secret makes it."""
    return jwt.encode(claims(**changed), SECRET, algorithm="HS256")
