"""Browser tokens: short-lived JWTs that act for a client, checked without any store (RFC 7519)."""

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.types import Options

from app.errors import InvalidRequest, OriginNotAllowed, RouteNotFound
from app.guards.identity import Identity
from app.guards.origins import normal_origin

logger = logging.getLogger("app.guards")

ALGORITHM = "HS256"
"""The only one that is accepted, whatever a token's own header says (RFC 8725 §3.1)."""

SECRET_MIN_BYTES = 32
"""RFC 7518 §3.2: at least as long as the hash. A shorter one can be guessed from one token."""

CLAIM_MAX_CHARS = 256
TIME_MAX = 2**53
"""Keeps NaN and infinity, which Python's JSON lets through, from being an end that never comes."""

SKEW_S = 5
"""How far a backend's clock may be ahead of ours in a token's `nbf`."""

ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:_]+", re.ASCII)
CHECKS: Options = {
    "require": ["exp", "sub", "jti"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
"""Times are checked here, by the clock that was handed in; signature and `aud` by the library."""


class NotHonoured(Exception):
    """A token that is not valid. The text says why, and holds nothing of the token."""

    def log(self) -> None:
        """Tell the operator, where it matters; the caller, who may be guessing, is not told."""
        logger.info("credential refused", extra={"fields": {"why": str(self)}})


@dataclass(frozen=True, slots=True)
class Token:
    """A minted token, and the second since 1970 when it ends."""

    token: str = field(repr=False)
    expires_at: int


def parse_token_secrets(text: str) -> tuple[str, ...]:
    """Read `CLIENT_TOKEN_SECRET`: comma-separated; the first signs, all verify.

    Raises:
        ValueError: With one sentence that holds no secret.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(len(secret.encode()) < SECRET_MIN_BYTES for secret in found):
        raise ValueError(
            f"CLIENT_TOKEN_SECRET: each secret needs {SECRET_MIN_BYTES} bytes or more"
            " (openssl rand -hex 32 makes one)"
        )
    return found


class Tokens:
    """Mints and reads tokens. `wall` gives seconds since 1970, UTC."""

    def __init__(self, signing: tuple[str, ...], *, ttl_s: int, wall: Callable[[], float]) -> None:
        self._secrets = signing
        self._ttl_s = ttl_s
        self._wall = wall

    def mint(self, name: str, *, origin: str | None, ttl_s: int | None) -> Token:
        """A token for client `name`; see `Guards.mint`."""
        if not self._secrets:
            raise RouteNotFound("No tokens are made here: CLIENT_TOKEN_SECRET is not set.")
        if ttl_s is not None and not 1 <= ttl_s <= self._ttl_s:
            raise InvalidRequest.of("ttl_s", f"Must be 1 to {self._ttl_s} seconds.")
        expires_at = int(self._wall()) + (ttl_s or self._ttl_s)
        claims: dict[str, Any] = {
            "sub": name,
            "exp": expires_at,
            "jti": secrets.token_urlsafe(16),
        }
        if origin is not None:
            claims["origin"] = _checked_origin(origin)
        return Token(jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM), expires_at)

    def holder(self, token: str, *, origin: str | None) -> Identity:
        """Who the token acts for.

        A request without an origin does not come from a foreign page, so it passes.

        Raises:
            NotHonoured: It is not valid.
            OriginNotAllowed: The token is bound to another origin than the request's.
        """
        claims = self._claims(token)
        bound = _normal(claims["origin"]) if claims.get("origin") else None
        if bound and origin is not None and normal_origin(origin) != bound:
            NotHonoured(f"it is bound to {bound}, not to {origin[:CLAIM_MAX_CHARS]}").log()
            raise OriginNotAllowed("The token is bound to another origin.")
        return Identity(claims["sub"], f"token:{claims['jti']}", "token", bound)

    def valid(self, token: str) -> bool:
        """Whether the token would be honoured, from the right origin."""
        try:
            self._claims(token)
        except NotHonoured:
            return False
        return True

    def _claims(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                claims = jwt.decode(token, secret, algorithms=[ALGORITHM], options=CHECKS)
            except jwt.InvalidSignatureError:
                continue
            except jwt.MissingRequiredClaimError as exc:
                raise NotHonoured(f"it has no {exc.claim}") from exc
            except (jwt.InvalidTokenError, ValueError, RecursionError) as exc:
                # The last two: text that is not UTF-8, and a header of thousands of brackets.
                raise NotHonoured(f"no client key, and no token: {type(exc).__name__}") from exc
            self._check_times(claims)
            _check_texts(claims)
            return claims
        raise NotHonoured("no client key, and no CLIENT_TOKEN_SECRET here has signed it")

    def _check_times(self, claims: dict[str, Any]) -> None:
        until, since, now = claims["exp"], claims.get("nbf", 0), self._wall()
        if not (_is_time(until) and _is_time(since)):
            raise NotHonoured("its exp or nbf is no time")
        if now >= until:
            raise NotHonoured(f"it ended {now - until:.0f} s ago")
        if since > now + SKEW_S:
            raise NotHonoured(f"it begins in {since - now:.0f} s: is a clock wrong?")


def _checked_origin(origin: str) -> str:
    normal = _normal(origin)
    if not ORIGIN.fullmatch(normal) or len(normal) > CLAIM_MAX_CHARS:
        raise InvalidRequest.of("origin", "Must be such as https://app.example, without a path.")
    return normal


def _normal(origin: str) -> str:
    """An origin that somebody wrote, in whose end a slash is forgiven, as in `CORS_ORIGINS`."""
    return normal_origin(origin.removesuffix("/"))


def _check_texts(claims: dict[str, Any]) -> None:
    for name in ("sub", "jti", "origin"):
        text = claims.get(name)
        absent = text is None and name == "origin"
        if not (absent or (isinstance(text, str) and 0 < len(text) <= CLAIM_MAX_CHARS)):
            raise NotHonoured(f"its {name} must be a text of 1 to {CLAIM_MAX_CHARS} letters")


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < TIME_MAX
