"""Who calls, and from which page: client keys, browser tokens, addresses, origins.

Browser tokens are JSON Web Tokens (RFC 7519), made here or by a backend that has the secret.
"""

import hashlib
import ipaddress
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Annotated

import jwt
from pydantic import BaseModel, Field

from app.errors import Forbidden, InvalidRequest, OriginNotAllowed, TokenExpired, Unauthorized
from app.models import Client
from app.results import Token
from app.settings import ANONYMOUS, Settings, check_origins, normal_origin

logger = logging.getLogger("app.guards")

ALGORITHM = "HS256"  # The only one accepted, whatever a token's header says (RFC 8725 §3.1).
SKEW_S = 5  # How far the clock of a backend that makes its own tokens may be from ours.
CLAIM_MAX_CHARS = 256

ClaimText = Annotated[str, Field(min_length=1, max_length=CLAIM_MAX_CHARS)]
ClaimSeconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Claims(BaseModel):
    """What a token says, of the types that RFC 7519 gives them: PyJWT takes more."""

    sub: ClaimText
    jti: ClaimText
    exp: ClaimSeconds
    nbf: ClaimSeconds | None = None
    origin: ClaimText | None = None


class Credentials:
    """Recognises callers by client key, browser token or address. Keys are kept as digests."""

    def __init__(self, settings: Settings) -> None:
        self.replace_keys(settings.client_key_pairs)
        self._secrets = settings.token_secrets
        self._ttl_s = settings.client_token_ttl_s
        self._allow_anonymous = settings.allow_anonymous
        self.mints = bool(self._secrets)  # Whether browser tokens are made here.

    def replace_keys(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Accept these keys, given with their clients' names, and no others from now on."""
        self._names = {_digest(key): name for name, key in pairs}

    def identify(
        self, *, bearer: str | None, token: str | None, address: str, origin: str | None
    ) -> Client:
        """Say who calls; raises `Unauthorized`, or `OriginNotAllowed` for another page's token.

        `bearer` is a client key or a browser token; `token` is from the URL, which is logged: never
        a key. Anonymous callers are told apart by `address`.
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
            return Client(ANONYMOUS, f"address:{_network(address)}")
        raise Unauthorized("A client key or a browser token is required, after 'Bearer'.")

    def identify_key_holder(self, bearer: str | None) -> Client:
        """Say who calls, where only a client key is accepted: `Unauthorized`, else `Forbidden`."""
        if bearer is None:
            raise Unauthorized("A client key is required, after 'Bearer'.")
        if found := self._key_holder(bearer):
            return found
        self._claims(bearer)
        raise Forbidden("A browser token cannot do this; a client key is required.")

    def mint(self, client: Client, *, origin: str | None, ttl_s: int | None) -> Token:
        """Make a token for a client, on pages of `origin` (`None`: any), or `InvalidRequest`."""
        if ttl_s is not None and not 1 <= ttl_s <= self._ttl_s:
            raise InvalidRequest.of("ttl_s", f"Must be 1 to {self._ttl_s} seconds.")
        expires_at = int(time.time()) + (ttl_s or self._ttl_s)
        claims = {"sub": client.name, "exp": expires_at, "jti": secrets.token_urlsafe(16)}
        if origin is not None:
            try:
                [bound] = check_origins((origin,))
            except ValueError:
                bound = "*"
            if bound == "*" or len(bound) > CLAIM_MAX_CHARS:
                reason = "Must be such as https://app.example, without a path."
                raise InvalidRequest.of("origin", reason)
            claims["origin"] = bound
        # The first of the secrets signs, all verify.
        token = jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM)
        return Token(token=token, expires_at=expires_at)

    def _key_holder(self, key: str) -> Client | None:
        name = self._names.get(_digest(key))
        return Client(name, f"key:{name}") if name is not None else None

    def _token_holder(self, token: str, origin: str | None) -> Client:
        """The token's client. A request without an origin does not come from a foreign page."""
        claims = self._claims(token)
        bound = normal_origin((claims.origin or "").removesuffix("/")) or None
        if bound and origin is not None and normal_origin(origin) != bound:
            raise OriginNotAllowed("The token is bound to another origin.")
        return Client(claims.sub, f"token:{claims.jti}", bound)

    def _claims(self, token: str) -> Claims:
        """What a token says; raises `TokenExpired`, or `Unauthorized` if it is none of ours."""
        reason: Exception = jwt.InvalidTokenError("CLIENT_TOKEN_SECRET is not set")
        for secret in self._secrets:
            try:
                found = jwt.decode(token, secret, [ALGORITHM], {"verify_iat": False}, leeway=SKEW_S)
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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _network(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, the least that one subscriber has (RFC 6177)."""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed), 64), strict=False))
