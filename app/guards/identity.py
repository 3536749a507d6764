"""Who a caller turned out to be, and how that was shown."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from app.models import Client

ANONYMOUS = "anonymous"
"""The one client that all callers without a credential are."""

ADDRESS_MAX_CHARS = 64
"""Longer than any address; what is no address at all is cut to this, so that meters stay small."""


@dataclass(frozen=True, slots=True)
class Identity(Client):
    """A client, with what it showed. `origin` is the one that its token is bound to, if any."""

    kind: Literal["key", "token", "anonymous"]
    origin: str | None = None


def anonymous(address: str) -> Identity:
    """A caller without a credential, metered by its address."""
    return Identity(ANONYMOUS, f"address:{_neighbourhood(address)}", "anonymous")


def _neighbourhood(address: str) -> str:
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
