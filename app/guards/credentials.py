"""Who calls, and from which page: client keys, browser tokens, addresses, origins."""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import Forbidden, OriginNotAllowed, Unauthorized
from app.guards.browser_tokens import BrowserTokens
from app.models import Client
from app.results import Token
from app.setting_types import ANONYMOUS, normal_origin
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Identity(Client):
    """A client, and the origin that its token is bound to, if any."""

    origin: str | None = None


class Origins:
    """The origins whose pages may search, besides those that a token is bound to."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def allow(self, origin: str) -> bool:
        """Whether the pages of this origin may search."""
        return not self._allowed.isdisjoint({"*", normal_origin(origin)})


class Credentials:
    """Recognises callers by client key, browser token or address. Keys are kept as digests."""

    def __init__(self, settings: Settings) -> None:
        self.replace_keys(settings.client_key_pairs)
        self.mints = bool(settings.token_secrets)
        """Whether browser tokens are made here."""
        self._tokens = BrowserTokens(settings.token_secrets, settings.client_token_ttl_s)
        self._allow_anonymous = settings.allow_anonymous

    def replace_keys(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Accept these keys, given with their clients' names, and no others from now on."""
        self._names = {_digest(key): name for name, key in pairs}

    def identify(
        self, *, bearer: str | None, token: str | None, address: str, origin: str | None
    ) -> Identity:
        """Say who calls.

        `bearer` is a client key or a browser token. `token` is from the URL, which is logged: never
        a key. `origin` is the page that calls. Anonymous callers are told apart by `address`.

        Raises `Unauthorized`, `TokenExpired`, or `OriginNotAllowed` for another page's token.
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
        """Make a browser token that acts for `client`; see `BrowserTokens.mint`."""
        return self._tokens.mint(client.name, origin=origin, ttl_s=ttl_s)

    def _key_holder(self, key: str) -> Identity | None:
        name = self._names.get(_digest(key))
        return Identity(name, f"key:{name}") if name is not None else None

    def _token_holder(self, token: str, origin: str | None) -> Identity:
        """The token's client. A request without an origin does not come from a foreign page."""
        claims = self._tokens.verify(token)
        bound = normal_origin((claims.origin or "").removesuffix("/")) or None
        if bound and origin is not None and normal_origin(origin) != bound:
            raise OriginNotAllowed("The token is bound to another origin.")
        return Identity(claims.sub, f"token:{claims.jti}", bound)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _network(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, the least that one subscriber has (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
