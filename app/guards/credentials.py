"""Who calls, and from which page: client keys, browser tokens (JWT, RFC 7519), origins."""

import hashlib
import ipaddress
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jwt
from jwt.types import Options
from pydantic import BaseModel, Field

from app.errors import Forbidden, InvalidRequest, OriginNotAllowed, TokenExpired, Unauthorized
from app.models import Client
from app.setting_types import ANONYMOUS, check_origins, normal_origin
from app.settings import Settings

logger = logging.getLogger("app.guards")

ALGORITHM = "HS256"
"""The only one that is accepted, whatever a token's header says (RFC 8725 §3.1)."""

CLOCK_SKEW_S = 5
"""How far the clock of a backend that makes its own tokens may be from ours."""

CLAIM_MAX_CHARS = 256
CHECKS: Options = {"require": ["exp", "sub", "jti"], "verify_iat": False}
ANY_ORIGIN = "*"

Text = Annotated[str, Field(min_length=1, max_length=CLAIM_MAX_CHARS)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Claims(BaseModel):
    """What a token says, of the types that RFC 7519 gives them: PyJWT takes more."""

    sub: Text
    jti: Text
    exp: Seconds
    nbf: Seconds | None = None
    origin: Text | None = None


@dataclass(frozen=True, slots=True)
class Identity(Client):
    """A client, and the origin that its token is bound to, if any."""

    origin: str | None = None


class Token(NamedTuple):
    """A browser token, and the second since 1970 when it expires."""

    token: str
    expires_at: int


class Origins:
    """The origins whose pages may search, besides those that a token is bound to."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def allow(self, origin: str) -> bool:
        """Whether the pages of this origin may search."""
        return not self._allowed.isdisjoint({ANY_ORIGIN, normal_origin(origin)})


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

        `bearer` is a client key or a browser token. `token` is from the URL, which is logged: never
        a key. `origin` is the page that calls. Anonymous callers are told apart by `address`.

        Raises:
            Unauthorized: No credential where one is required, or one that is not valid.
            TokenExpired: A browser token that was valid and has expired.
            OriginNotAllowed: The token is bound to another origin.
        """
        if bearer is not None:
            try:
                return self._key_holder(bearer) or self._token_holder(bearer, origin)
            except Unauthorized:
                # SDKs always send some key: where none exists, and none is required, it is ignored.
                if self._names or not self._allow_anonymous:
                    raise
        if token is not None:
            if self._key_holder(token):
                raise Unauthorized("A client key must not be in a URL, because URLs are logged.")
            return self._token_holder(token, origin)
        if self._allow_anonymous:
            return Identity(ANONYMOUS, f"address:{_network(address)}")
        raise Unauthorized("A client key or a browser token is required, behind 'Bearer'.")

    def identify_key_holder(self, bearer: str | None) -> Identity:
        """Say who calls, where only a client key is accepted: `Unauthorized`, else `Forbidden`."""
        if bearer is None:
            raise Unauthorized("A client key is required, behind 'Bearer'.")
        if found := self._key_holder(bearer):
            return found
        self._token_holder(bearer, None)
        raise Forbidden("A browser token cannot do this; a client key is required.")

    def mint(self, client: Client, *, origin: str | None, ttl_s: int | None) -> Token:
        """Make a browser token that acts for `client`, on pages of `origin` (`None`: of any).

        Raises `InvalidRequest` if the origin is none, or the life is too long.
        """
        if ttl_s is not None and not 1 <= ttl_s <= self._ttl_s:
            raise InvalidRequest.of("ttl_s", f"Must be 1 to {self._ttl_s} seconds.")
        expires_at = int(time.time()) + (ttl_s or self._ttl_s)
        claims = {"sub": client.name, "exp": expires_at, "jti": secrets.token_urlsafe(16)}
        if origin is not None:
            claims["origin"] = _checked(origin)
        return Token(jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM), expires_at)

    def _key_holder(self, key: str) -> Identity | None:
        name = self._names.get(_digest(key))
        return Identity(name, f"key:{name}") if name is not None else None

    def _token_holder(self, token: str, origin: str | None) -> Identity:
        """The token's client. A request without an origin does not come from a foreign page."""
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError as exc:
            raise TokenExpired("The token has expired; get another.") from exc
        except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as exc:
            # The last three: text that is not UTF-8, infinite times, thousands of brackets.
            # The reason is for the operator; the caller may be guessing.
            reason = f"no client key, and no token: {type(exc).__name__}"
            logger.info("credential refused", extra={"fields": {"reason": reason}})
            raise Unauthorized("The key or token is not valid; it needs no quotes.") from exc
        bound = normal_origin((claims.origin or "").removesuffix("/")) or None
        if bound and origin is not None and normal_origin(origin) != bound:
            raise OriginNotAllowed("The token is bound to another origin.")
        return Identity(claims.sub, f"token:{claims.jti}", bound)

    def _claims(self, token: str) -> Claims:
        error: Exception = jwt.InvalidTokenError("CLIENT_TOKEN_SECRET is not set")
        for secret in self._secrets:
            try:
                found = jwt.decode(token, secret, [ALGORITHM], CHECKS, leeway=CLOCK_SKEW_S)
            except jwt.InvalidSignatureError as exc:
                error = exc
            else:
                return Claims.model_validate(found)
        raise error


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _checked(origin: str) -> str:
    try:
        [normal] = check_origins((origin,))
    except ValueError:
        normal = ANY_ORIGIN
    if normal == ANY_ORIGIN or len(normal) > CLAIM_MAX_CHARS:
        raise InvalidRequest.of("origin", "Must be such as https://app.example, without a path.")
    return normal


def _network(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, the least that one subscriber has (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
