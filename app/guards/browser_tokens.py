"""Browser tokens: JSON Web Tokens (RFC 7519), made here or by a backend that has the secret."""

import logging
import secrets
import time
from collections.abc import Sequence
from typing import Annotated

import jwt
from jwt.types import Options
from pydantic import BaseModel, Field

from app.errors import InvalidRequest, TokenExpired, Unauthorized
from app.results import Token
from app.setting_types import check_origins

logger = logging.getLogger("app.guards")

ALGORITHM = "HS256"
"""The only one that is accepted, whatever a token's header says (RFC 8725 §3.1)."""

CLOCK_SKEW_S = 5
"""How far the clock of a backend that makes its own tokens may be from ours."""

CLAIM_MAX_CHARS = 256
CHECKS: Options = {"require": ["exp", "sub", "jti"], "verify_iat": False}

Text = Annotated[str, Field(min_length=1, max_length=CLAIM_MAX_CHARS)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Claims(BaseModel):
    """What a token says, of the types that RFC 7519 gives them: PyJWT takes more."""

    sub: Text
    jti: Text
    exp: Seconds
    nbf: Seconds | None = None
    origin: Text | None = None


class BrowserTokens:
    """Signs with the first of the secrets, and verifies with all."""

    def __init__(self, token_secrets: Sequence[str], ttl_s: int) -> None:
        self._secrets = token_secrets
        self._ttl_s = ttl_s

    def mint(self, client: str, *, origin: str | None, ttl_s: int | None) -> Token:
        """Make a token that acts for a client, on pages of `origin` (`None`: of any).

        Raises `InvalidRequest` if the origin is none, or the life is too long.
        """
        if ttl_s is not None and not 1 <= ttl_s <= self._ttl_s:
            raise InvalidRequest.of("ttl_s", f"Must be 1 to {self._ttl_s} seconds.")
        expires_at = int(time.time()) + (ttl_s or self._ttl_s)
        claims = {"sub": client, "exp": expires_at, "jti": secrets.token_urlsafe(16)}
        if origin is not None:
            claims["origin"] = _checked(origin)
        token = jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM)
        return Token(token=token, expires_at=expires_at)

    def verify(self, token: str) -> Claims:
        """What a token says; raises `TokenExpired`, or `Unauthorized` if it is none of ours."""
        reason: Exception = jwt.InvalidTokenError("CLIENT_TOKEN_SECRET is not set")
        for secret in self._secrets:
            try:
                found = jwt.decode(token, secret, [ALGORITHM], CHECKS, leeway=CLOCK_SKEW_S)
                return Claims.model_validate(found)
            except jwt.ExpiredSignatureError as exc:
                raise TokenExpired("The token has expired; get another.") from exc
            except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as exc:
                # The last three: text that is not UTF-8, infinite times, thousands of brackets.
                reason = exc
        # The reason is for the operator; the caller may be guessing.
        fields = {"reason": f"no client key, and no token: {type(reason).__name__}"}
        logger.info("credential refused", extra={"fields": fields})
        raise Unauthorized("The key or token is not valid; it needs no quotes.") from reason


def _checked(origin: str) -> str:
    try:
        [normal] = check_origins((origin,))
    except ValueError:
        normal = "*"
    if normal == "*" or len(normal) > CLAIM_MAX_CHARS:
        raise InvalidRequest.of("origin", "Must be such as https://app.example, without a path.")
    return normal
