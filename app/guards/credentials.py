"""Who calls: client keys, and browser tokens (JWT, RFC 7519) that act for a client."""

import hashlib
import ipaddress
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from jwt.types import Options

from app.errors import (
    Forbidden,
    InvalidRequest,
    OriginNotAllowed,
    RouteNotFound,
    TokenExpired,
    Unauthorized,
)
from app.models import Client
from app.setting_types import ANONYMOUS, check_origins, normal_origin
from app.settings import Settings

logger = logging.getLogger("app.guards")

ALGORITHM = "HS256"
"""The only one that is accepted, whatever a token's header says (RFC 8725 §3.1)."""

CLOCK_SKEW_S = 5
"""How far the clock of a backend that makes its own tokens may be from ours."""

ADDRESS_MAX_CHARS = 64
"""Longer than any address; anything else is cut to this."""

CLAIM_MAX_CHARS = 256
CHECKS: Options = {"require": ["exp", "sub", "jti"], "verify_iat": False}

KEY_IN_URL = (
    "A client key must not be in a URL, because URLs are logged: use a browser token, which "
    "POST /tokens makes."
)


class InvalidToken(Exception):
    """A token that is not valid. The text says why, and holds nothing of the token."""


@dataclass(frozen=True, slots=True)
class Identity(Client):
    """A client, and how it showed who it is. `origin` is the one its token is bound to, if any."""

    kind: Literal["key", "token", "anonymous"]
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A browser token, and the second since 1970 when it expires."""

    token: str = field(repr=False)
    expires_at: int


class Credentials:
    """Recognises callers by client key, browser token or address. Keys are kept as digests."""

    def __init__(self, settings: Settings) -> None:
        self._names = {_digest(key): name for name, key in settings.client_key_pairs}
        self._secrets = settings.token_secrets
        self._ttl_s = settings.client_token_ttl_s
        self._allow_anonymous = settings.allow_anonymous

    @property
    def mints(self) -> bool:
        """Whether browser tokens are made here."""
        return bool(self._secrets)

    def identify(
        self, *, bearer: str | None, token: str | None, address: str, origin: str | None
    ) -> Identity:
        """Say who calls.

        Args:
            bearer: The credential of the Authorization header, a client key or a browser token;
                `None` if there was none.
            token: A browser token from the URL; a client key is refused there.
            address: The caller's, by which anonymous callers are rate limited.
            origin: The page that calls, if a browser says so.

        Raises:
            Unauthorized: No credential where one is required, or one that is not valid.
            TokenExpired: A browser token that was valid and has expired.
            OriginNotAllowed: The token is bound to another origin.
        """
        if bearer is not None:
            try:
                return self._key_holder(bearer) or self._token_holder(bearer, origin)
            except Unauthorized:
                if not self._ignores_unknown:
                    raise
        if token is not None:
            if self._key_holder(token):
                raise Unauthorized(KEY_IN_URL)
            return self._token_holder(token, origin)
        if self._allow_anonymous:
            return Identity(ANONYMOUS, f"address:{_network(address)}", "anonymous")
        raise Unauthorized("A client key or a browser token is required.")

    def identify_key_holder(self, bearer: str | None) -> Identity:
        """Say who calls, where only a client key is accepted.

        Raises:
            Unauthorized: No credential, or one that is not valid.
            Forbidden: A valid browser token.
        """
        if bearer is None:
            raise Unauthorized("A client key is required.")
        if found := self._key_holder(bearer):
            return found
        self._token_holder(bearer, None)
        raise Forbidden("A browser token cannot do this; a client key is required.")

    def mint(self, client: Client, *, origin: str | None, ttl_s: int | None) -> Token:
        """Make a browser token that acts for `client`.

        Args:
            client: Who is charged for what the token is used for.
            origin: The only origin whose pages may use it; `None`: any.
            ttl_s: Its life in seconds; `None`: `CLIENT_TOKEN_TTL_S`.

        Raises:
            RouteNotFound: No secret is set, so there are no tokens.
            InvalidRequest: The origin is none, or the life is too long.
        """
        if not self._secrets:
            raise RouteNotFound("No tokens are made here: CLIENT_TOKEN_SECRET is not set.")
        if ttl_s is not None and not 1 <= ttl_s <= self._ttl_s:
            raise InvalidRequest.of("ttl_s", f"Must be 1 to {self._ttl_s} seconds.")
        expires_at = int(time.time()) + (ttl_s or self._ttl_s)
        claims = {"sub": client.name, "exp": expires_at, "jti": secrets.token_urlsafe(16)}
        if origin is not None:
            claims["origin"] = _checked_origin(origin)
        return Token(jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM), expires_at)

    @property
    def _ignores_unknown(self) -> bool:
        """SDKs always send some key: where none exists and none is required, it means nothing."""
        return self._allow_anonymous and not self._names

    def _key_holder(self, key: str) -> Identity | None:
        name = self._names.get(_digest(key))
        return Identity(name, f"key:{name}", "key") if name is not None else None

    def _token_holder(self, token: str, origin: str | None) -> Identity:
        """The token's client. A request without an origin does not come from a foreign page."""
        try:
            claims = self._claims(token)
        except InvalidToken as exc:
            # For the operator; the caller, who may be guessing, is not told why.
            logger.info("credential refused", extra={"fields": {"reason": str(exc)}})
            raise Unauthorized("The key or token is not valid.") from exc
        bound = normal_origin((claims.get("origin") or "").removesuffix("/")) or None
        if bound and origin is not None and normal_origin(origin) != bound:
            raise OriginNotAllowed("The token is bound to another origin.")
        return Identity(claims["sub"], f"token:{claims['jti']}", "token", bound)

    def _claims(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    token, secret, algorithms=[ALGORITHM], options=CHECKS, leeway=CLOCK_SKEW_S
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError as exc:
                raise TokenExpired("The token has expired; get another.") from exc
            except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as exc:
                # The last three: text that is not UTF-8, infinite times, thousands of brackets.
                raise InvalidToken(f"no client key, and no token: {type(exc).__name__}") from exc
            _check_texts(claims)
            return claims
        raise InvalidToken("no client key, and not signed with a secret of CLIENT_TOKEN_SECRET")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _network(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, the least that one subscriber has (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:ADDRESS_MAX_CHARS]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))


def _checked_origin(origin: str) -> str:
    try:
        [normal] = check_origins((origin,))
    except ValueError:
        normal = "*"
    if normal == "*" or len(normal) > CLAIM_MAX_CHARS:
        raise InvalidRequest.of("origin", "Must be such as https://app.example, without a path.")
    return normal


def _check_texts(claims: dict[str, Any]) -> None:
    for name in ("sub", "jti", "origin"):
        text = claims.get(name)
        if name == "origin" and text is None:
            continue
        if not isinstance(text, str) or not 0 < len(text) <= CLAIM_MAX_CHARS:
            raise InvalidToken(f"its {name} must be a text of 1 to {CLAIM_MAX_CHARS} characters")
